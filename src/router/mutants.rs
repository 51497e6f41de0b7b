//! Wrong variants of the router, one at a time, for the simulator's checks to
//! catch. Without the feature `mutants` none of this exists.

/// True if the wrong variant `$mutant` is to run. Without the feature it is
/// the constant `false`, and the variant does not exist.
#[cfg(feature = "mutants")]
macro_rules! mutated {
    ($settings:expr, $mutant:ident) => {
        $settings.mutant == Some($crate::router::Mutant::$mutant)
    };
}
#[cfg(not(feature = "mutants"))]
macro_rules! mutated {
    ($settings:expr, $mutant:ident) => {{
        let _ = &$settings;
        false
    }};
}
pub(crate) use mutated;

/// Wrong variants of replication, delivery and roaming, then of the relay to a main server, then of following
/// one that is a node.
#[cfg(feature = "mutants")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mutant {
    /// Nobody asks for records that a neighbour holds.
    NoAntiEntropy,
    /// FAU3_STORED before a second router holds the record.
    StoredAlone,
    /// What another router has settled is not taken over.
    SettledNotMerged,
    /// The attachment heard of last wins, not the newest.
    AttachmentByArrival,
    /// Delivery does not wait for the same sender's previous record.
    OrderNotWaited,
    /// A message that two routers took in goes to clients as two.
    TwinsTwice,
    /// Changes of sessions are not told.
    SessionsNotTold,
    /// What is missing before a record is never waited for.
    GapJumped,
    /// Whoever speaks hears it.
    OwnEcho,
    /// A record that waits for another one counts as passed.
    WaitingSettled,
    /// What came from other routers is not remembered when its sender brings it again.
    ReplicatedNotRemembered,
    /// What is settled of other lives' records is forgotten with the next one.
    SettledForgotten,
    /// Numbers are believed up to what others refuse.
    AllBelieved,
    /// A connection to the main server in a client's name although another router may have one.
    LineBesideAnother,
    /// A client that shows no life keeps its connection there while routers are out of reach.
    LeaseForgotten,
    /// A connection that ended unheard is taken for one that the server knows to be gone.
    RemainsForgotten,
    /// Others do not hear what the main server has.
    PushedNotTold,
    /// Its copies of what is known here are taken for new messages.
    EchoesNotPaired,
    /// A record is delivered although it came from the server before, as another one.
    ServerTwinDelivered,
    /// What the server does not have is forgotten when it is gone.
    BacklogDropped,
    /// A Confirm that is lost with its connection is not counted.
    LostConfirmNotCounted,
    /// A main server that is a node leads again as soon as it answers.
    HoldSkipped,
    /// One question to it that is not answered is an outage.
    ProbeLostIsOutage,
    /// Eight seconds of its silence are none.
    OutageWaitedOut,
    /// Clients are let go when their router falls back.
    ClientsDropped,
    /// A deputy that has led goes on showing so when the main server leads again.
    LeadsOn,
    /// Who is the deputy no more keeps its connection to it.
    NotLetGo,
    /// The two sides do not ask each other for what was said in an outage.
    BacklogNotAsked,
    /// They ask for all of it at once.
    BacklogUnpaced,
    /// What was said in an outage is taken for new on the other side.
    BacklogAnew,
}

#[cfg(feature = "mutants")]
impl Mutant {
    /// All of them, in the order of their declaration.
    pub const ALL: [Self; 30] = [
        Self::NoAntiEntropy,
        Self::StoredAlone,
        Self::SettledNotMerged,
        Self::AttachmentByArrival,
        Self::OrderNotWaited,
        Self::TwinsTwice,
        Self::SessionsNotTold,
        Self::GapJumped,
        Self::OwnEcho,
        Self::WaitingSettled,
        Self::ReplicatedNotRemembered,
        Self::SettledForgotten,
        Self::AllBelieved,
        Self::LineBesideAnother,
        Self::LeaseForgotten,
        Self::RemainsForgotten,
        Self::PushedNotTold,
        Self::EchoesNotPaired,
        Self::ServerTwinDelivered,
        Self::BacklogDropped,
        Self::LostConfirmNotCounted,
        Self::HoldSkipped,
        Self::ProbeLostIsOutage,
        Self::OutageWaitedOut,
        Self::ClientsDropped,
        Self::LeadsOn,
        Self::NotLetGo,
        Self::BacklogNotAsked,
        Self::BacklogUnpaced,
        Self::BacklogAnew,
    ];

    /// Whether it shows only with a main server that speaks FAU3VOM-D alone.
    #[must_use]
    pub fn is_of_relay(self) -> bool {
        self >= Self::LineBesideAnother && !self.is_of_main()
    }

    /// Whether it shows only with a main server that is a node.
    #[must_use]
    pub fn is_of_main(self) -> bool {
        self >= Self::HoldSkipped
    }
}

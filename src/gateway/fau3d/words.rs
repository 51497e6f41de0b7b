//! FAU3VOM-D in the router's words, and the router's words in FAU3VOM-D.

use crate::router::{Answer, CloseReason, Refusal, Says};
use crate::wire::fau3d::{FromClient, Invalid, Status};

/// What a client's frame says.
#[must_use]
pub fn says(frame: Result<FromClient, Invalid>) -> Says {
    match frame {
        Ok(FromClient::Ping { message_uuid }) => Says::Ask { token: message_uuid },
        Ok(FromClient::Confirm { message_uuid, status }) => {
            Says::Settles { item: message_uuid, is_taken: status.settles() }
        }
        Ok(FromClient::Propogate { message_uuid, room, payload }) => {
            Says::Post { token: message_uuid, room, body: payload }
        }
        Ok(FromClient::Subscribe { message_uuid, room, monitor_period_s, ping_period_s }) => {
            Says::Enter { token: message_uuid, room, monitor_period_s, ping_period_s }
        }
        Ok(FromClient::Stream(frame)) => Says::Live(frame),
        // Answering a Confirm would start an endless conversation.
        Err(Invalid { message_uuid, reason, was_confirm }) => {
            Says::Nonsense { token: (!was_confirm).then_some(message_uuid), reason }
        }
    }
}

/// What a Confirm says of an answer.
#[must_use]
pub const fn status(answer: Answer) -> Status {
    match answer {
        Answer::Done => Status::OK,
        Answer::Here => Status::PONG,
        Answer::Noted => Status::MONED,
        Answer::Stored => Status::STORED,
        Answer::Failed => Status::SERROR,
        Answer::Invalid => Status::INVALID,
    }
}

/// The WebSocket close code (RFC 6455, section 7.4) with which a connection ends.
#[must_use]
pub const fn close_code(why: CloseReason) -> u16 {
    match why {
        CloseReason::ShuttingDown => 1001,
        CloseReason::NotAllowed => 1008,
        CloseReason::TakenOver => 4001,
        CloseReason::Contested => 4002,
        CloseReason::PingUnanswered => 4003,
        CloseReason::Silent => 4004,
    }
}

/// The HTTP status (RFC 9110, section 15) of one that is not let in.
#[must_use]
pub const fn http_status(why: Refusal) -> u16 {
    match why {
        Refusal::Full | Refusal::AddressFull | Refusal::ShuttingDown => 503,
        Refusal::NotAllowed => 403,
        Refusal::Contested => 409,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_not_let_in_or_not_kept_is_told_so_by_http_or_a_close_code() {
        let refused = [Refusal::Full, Refusal::AddressFull, Refusal::ShuttingDown, Refusal::NotAllowed];
        assert_eq!(refused.map(http_status), [503, 503, 503, 403]);
        assert_eq!(http_status(Refusal::Contested), 409);
        let ended = [CloseReason::ShuttingDown, CloseReason::NotAllowed, CloseReason::TakenOver];
        assert_eq!(ended.map(close_code), [1001, 1008, 4001]);
        let ended = [CloseReason::Contested, CloseReason::PingUnanswered, CloseReason::Silent];
        assert_eq!(ended.map(close_code), [4002, 4003, 4004]);
    }

    #[test]
    fn an_invalid_frame_is_answered_unless_it_was_a_confirm() {
        let invalid = |was_confirm| Err(Invalid { message_uuid: "u".into(), reason: "r", was_confirm });
        let nonsense = |token: Option<&str>| Says::Nonsense { token: token.map(Into::into), reason: "r" };
        assert_eq!((says(invalid(false)), says(invalid(true))), (nonsense(Some("u")), nonsense(None)));
    }
}

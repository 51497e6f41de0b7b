//! The shell's part towards the main server: which one the configuration
//! names, whether this router is the one that looks for it, and what people
//! are shown. Carries out what the router asks for; decides nothing else.

use std::time::{Duration, Instant};

use fau3_election::{Coordinator, RouterId, View};

use crate::config::{DefaultServer, Scheme, ServerUrl};
use crate::control::DefaultServerReport;
use crate::identity;
use crate::router::{Input, ServerKind, UpstreamInput, UpstreamOutput};
use crate::upstream::watch::Settings;
use crate::upstream::{Upstream, WatchReport};

/// The main server, as the node's task holds it.
pub struct UpstreamSide {
    config: DefaultServer,
    me: RouterId,
    is_in_mesh: bool,
    /// This router is the one of its component that looks.
    is_deputy: bool,
    /// `None`: the configuration has named no server so far, or one that is a node.
    upstream: Option<Upstream>,
    /// Whether the component reaches the server, and since when it is so;
    /// `None`: nobody has said it yet.
    reachable: Option<(bool, Instant)>,
}

/// What kind of server a URL leads to.
fn kind(url: &ServerUrl) -> ServerKind {
    match url.scheme {
        Scheme::Ws => ServerKind::Legacy,
        Scheme::Fau3 | Scheme::Fau3Ws => ServerKind::Node,
    }
}

/// A server to be looked for here: a node is the mesh's affair.
fn legacy(config: &DefaultServer) -> Option<&ServerUrl> {
    config.url.as_ref().filter(|url| kind(url) == ServerKind::Legacy)
}

fn settings(config: &DefaultServer) -> Settings {
    Settings {
        check_interval: Duration::from_millis(config.check_interval_ms.into()),
        hold: Duration::from_millis(config.hold_ms.into()),
    }
}

impl UpstreamSide {
    /// A router in no mesh looks for the server from now on; another one when
    /// it is its component's deputy.
    #[must_use]
    pub fn new(config: DefaultServer, me: RouterId, is_in_mesh: bool) -> Self {
        let mut side = Self { config, me, is_in_mesh, is_deputy: false, upstream: None, reachable: None };
        side.open();
        side
    }

    fn open(&mut self) {
        let open = |url: ServerUrl| {
            Upstream::new(url, settings(&self.config), self.me.to_string(), identity::random())
        };
        self.upstream = legacy(&self.config).cloned().map(open);
        self.look();
    }

    fn look(&mut self) {
        let look = legacy(&self.config).is_some() && (self.is_deputy || !self.is_in_mesh);
        self.upstream.iter_mut().for_each(|upstream| upstream.look(look));
    }

    /// What the router has to know first.
    pub(super) fn configured(&self) -> Input {
        Input::Upstream(UpstreamInput::Configure(self.config.url.as_ref().map(kind)))
    }

    /// The configuration was read again; what the router has to know of it.
    pub(super) fn configure(&mut self, config: DefaultServer) -> Vec<Input> {
        let is_another = self.config.url != config.url;
        self.config = config;
        if let Some(upstream) = &self.upstream {
            upstream.configure(settings(&self.config));
        }
        if !is_another {
            return Vec::new();
        }
        self.reachable = None;
        match (&mut self.upstream, legacy(&self.config)) {
            (Some(upstream), Some(url)) => upstream.turn_to(url.clone()),
            // Its connections have yet to end, and the router to hear so.
            (Some(upstream), None) => upstream.turn_away(),
            (None, _) => self.open(),
        }
        self.look();
        // What was known of the server before is void.
        let none = [UpstreamInput::Reach(None), UpstreamInput::Configure(None)].map(Input::Upstream);
        none.into_iter().chain([self.configured()]).collect()
    }

    /// Who is the deputy, and who leads, as it is from now on.
    pub(super) fn view(&mut self, view: &View) {
        self.is_deputy = view.deputy == Some(self.me);
        self.look();
        match view.coordinator {
            _ if self.config.url.is_none() => {}
            Coordinator::DefaultServer => self.reaches(true),
            Coordinator::Router(_) => self.reaches(false),
            Coordinator::None => {}
        }
    }

    fn reaches(&mut self, reaches: bool) {
        if self.reachable.is_none_or(|(before, _)| before != reaches) {
            self.reachable = Some((reaches, Instant::now()));
        }
    }

    /// What happens next. Nothing is lost if the future is dropped before.
    pub(super) async fn next(&mut self) -> UpstreamInput {
        match &mut self.upstream {
            Some(upstream) => upstream.next().await,
            None => std::future::pending().await,
        }
    }

    /// What has happened already.
    pub(super) fn try_next(&mut self) -> Option<UpstreamInput> {
        self.upstream.as_mut()?.try_next()
    }

    /// The router's input that follows.
    pub(super) fn input(&mut self, happened: UpstreamInput) -> Input {
        if let UpstreamInput::Reach(Some(reaches)) = happened {
            self.reaches(reaches);
        }
        Input::Upstream(happened)
    }

    pub(super) fn carry_out(&mut self, output: UpstreamOutput) {
        if let Some(upstream) = &mut self.upstream {
            upstream.carry_out(output);
        }
    }

    /// The server that is looked for here.
    fn watched(&self) -> Option<&Upstream> {
        self.upstream.as_ref().filter(|_| legacy(&self.config).is_some())
    }

    /// What people are shown; with what the mesh has seen of one that is a node.
    pub(super) fn report(&self, node: Option<WatchReport>) -> DefaultServerReport {
        let node = node.filter(|_| self.config.url.is_some());
        DefaultServerReport {
            name: self.config.name.clone(),
            url: self.config.url.as_ref().map(ToString::to_string),
            kind: self.config.url.as_ref().map(kind),
            reachable: self.reachable.map(|(reaches, since)| (reaches, since.elapsed())),
            watch: self.watched().map(Upstream::report).or(node).unwrap_or_default(),
            streams_dropped: self.upstream.as_ref().map_or(0, Upstream::streams_dropped),
        }
    }
}

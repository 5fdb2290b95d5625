//! A simulated process: the product's desks, one for each carrier, with connections that are moved by hand. All that it
//! has besides the tables is lost when it crashes.

use super::dice::{Dice, Fault};
use super::truth::{Found, Key, Truth};
use super::wire::{Smsc, Wire, key};
use super::{Plant, plants};
use rookery::core::callback::Attempt;
use rookery::core::endpoint::Standing as Endpoint;
use rookery::core::lease::{Holder, Lane, Leases};
use rookery::core::part::PartId;
use rookery::core::smpp_carrier::Doubt;
use rookery::core::wake::Wake;
use rookery::run::smpp::{Command, Desk, Ears, MOST_ASKED, Means, Note, Standing, Way};
use smpp::session::{Answer, QueryAnswer};
use std::collections::{BTreeMap, BTreeSet};
use store::{Clock, Store};
use tokio::sync::mpsc;

/// What everybody in a world shares.
pub struct Ground {
    pub store: Store,
    pub clock: Clock,
    pub dice: Dice,
    pub truth: Truth,
    pub plant: Plant,
}

/// One connection of a desk, which may be down.
struct Link {
    way: Way,
    ears: Ears,
    wire: Option<Wire>,
    again_at: i64,
}

/// A part that a desk has in hand.
#[derive(Clone, Copy)]
struct Given {
    key: Key,
    /// The number of its submission, if it has left.
    number: Option<usize>,
    /// Whether the desk was told what became of it.
    is_told: bool,
}

/// A desk and its connections.
struct Post {
    desk: Desk,
    links: Vec<Link>,
    has_begun: bool,
    /// Parts that it has in hand, until what became of them is recorded.
    given: BTreeMap<PartId, Given>,
    /// Parts about which a question is under way.
    asked: BTreeSet<PartId>,
}

/// Calls to a customer that are recorded later.
pub struct Calls {
    pub at: i64,
    pub lane: Lane,
    pub standing: Endpoint,
    pub attempts: Vec<Attempt>,
}

/// A process.
pub struct Node {
    pub name: String,
    pub leases: Leases,
    pub paused_until: i64,
    pub calls: Vec<Calls>,
    posts: Vec<Post>,
}

/// The desk was told what became of a part.
fn tell(given: &mut BTreeMap<PartId, Given>, part: PartId) {
    if let Some(given) = given.get_mut(&part) {
        given.is_told = true;
    }
}

/// A link tells the desk that nobody knows what became of a part.
fn doubt(given: &mut BTreeMap<PartId, Given>, truth: &mut Truth, part: PartId) {
    if let Some(given) = given.get_mut(&part) {
        given.is_told = true;
        truth.doubted(given.key, given.number);
    }
}

impl Post {
    fn new(ground: &Ground, smsc: &Smsc, holder: Holder) -> Self {
        let Ground { store, clock, .. } = ground;
        let means = Means { store: store.clone(), clock: clock.clone(), wake: Wake::default(), holder };
        let mut settings = smsc.settings.clone();
        if ground.plant == Plant::ResendAlways {
            settings.doubt = Doubt::Resend;
        }
        if ground.plant == Plant::NeverAsks {
            settings.asks_after = None;
        }
        let desk = Desk::new(means, &smsc.carrier, settings, "secret", None);
        Post { desk, links: Vec::new(), has_begun: false, given: BTreeMap::new(), asked: BTreeSet::new() }
    }

    /// A fault befalls whoever has these parts in hand.
    fn doubt_all(&mut self, truth: &mut Truth) {
        for given in self.given.values() {
            truth.doubted(given.key, given.number);
        }
    }

    /// All that is not in the tables is gone.
    fn lose(&mut self, ground: &mut Ground, smsc: &mut Smsc) {
        let now = ground.clock.now_us();
        for link in &mut self.links {
            while let Ok(command) = link.ears.commands.try_recv() {
                if let Command::Submit(_, message) = command {
                    ground.truth.doubted(key(&message), None);
                }
            }
            if let Some(mut wire) = link.wire.take() {
                wire.cut(smsc, &mut ground.truth, &mut ground.dice, now);
            }
        }
        self.links.clear();
        self.given.clear();
        self.asked.clear();
        self.has_begun = false;
    }

    /// Does what the desk asks of its links.
    fn obey(&mut self, ground: &mut Ground, smsc: &Smsc) -> Found {
        let now = ground.clock.now_us();
        for link in &mut self.links {
            while let Ok(command) = link.ears.commands.try_recv() {
                let mut left = None;
                let command = match command {
                    Command::Submit(part, mut message) => {
                        let key = key(&message);
                        if link.wire.is_none() {
                            self.given.insert(part, Given { key, number: None, is_told: true });
                            self.desk.note(Note::Unsent(part));
                            continue;
                        }
                        ground.dice.note(format!("  {key:?} leaves for {}", smsc.carrier.name));
                        let number = ground.truth.submitted(key, smsc.doubt == Doubt::Resend)?;
                        self.given.insert(part, Given { key, number: Some(number), is_told: false });
                        message.user_message_reference = Some(u16::try_from(number).expect("few messages"));
                        left = Some((part, number));
                        Command::Submit(part, message)
                    }
                    Command::Query(part, query) => {
                        if link.wire.is_none() {
                            self.desk.note(Note::Told(part, QueryAnswer::Nothing));
                            continue;
                        }
                        ground.dice.note(format!("  {} is asked about {:?}", smsc.carrier.name, query.id));
                        self.asked.insert(part);
                        if self.asked.len() > MOST_ASKED {
                            return Err(format!("{} questions are under way", self.asked.len()));
                        }
                        Command::Query(part, query)
                    }
                    acknowledge @ Command::Acknowledge(..) => acknowledge,
                };
                let Some(wire) = &mut link.wire else { continue };
                if let Some(note) = wire.talk.obey(command, now) {
                    if let Note::Told(part, _) = &note {
                        self.asked.remove(part);
                    }
                    if let Some((part, number)) = left {
                        ground.truth.unsent(number);
                        tell(&mut self.given, part);
                    }
                    self.desk.note(note);
                }
            }
        }
        Ok(())
    }

    /// Tells the desk what the links have to tell; whether there was anything.
    async fn hear(&mut self, ground: &mut Ground, smsc: &mut Smsc) -> Result<bool, String> {
        let mut heard = false;
        let now = ground.clock.now_us();
        for link in &mut self.links {
            let Some(wire) = &mut link.wire else { continue };
            while let Some(note) = wire.talk.note() {
                heard = true;
                match &note {
                    Note::Answered(part, answer) => {
                        let waits = self.given.get(part).filter(|given| !given.is_told);
                        if let Some(number) = waits.and_then(|given| given.number) {
                            ground.truth.answered(number, answer)?;
                            tell(&mut self.given, *part);
                            if let (Plant::DoubleSettle, Answer::Accepted { .. }) = (ground.plant, answer) {
                                plants::settle_again(&ground.store, *part).await;
                            }
                        }
                    }
                    Note::Told(part, _) => _ = self.asked.remove(part),
                    Note::Overdue(part) => doubt(&mut self.given, &mut ground.truth, *part),
                    Note::Down(_, parts) => {
                        for part in parts {
                            doubt(&mut self.given, &mut ground.truth, *part);
                        }
                    }
                    _ => {}
                }
                self.desk.note(note);
            }
            if wire.talk.session.is_ended() {
                wire.cut(smsc, &mut ground.truth, &mut ground.dice, now);
                link.wire = None;
                link.again_at = now + 250_000;
            }
        }
        Ok(heard)
    }

    async fn cycle(&mut self, ground: &mut Ground, smsc: &mut Smsc) {
        let standing = self.desk.cycle(false).await;
        match standing {
            Standing::Well => self.given.retain(|_, given| !given.is_told),
            Standing::Failing => {}
            Standing::Lost => {
                ground.dice.note(format!("  somebody loses {}", smsc.carrier.name));
                self.desk.forget();
                self.lose(ground, smsc);
            }
        }
        if ground.plant == Plant::LostOrphan {
            plants::forget_early(&ground.store).await;
        }
    }

    /// A moment of its work.
    async fn turn(&mut self, ground: &mut Ground, smsc: &mut Smsc) -> Found {
        let now = ground.clock.now_us();
        if !self.has_begun {
            if self.desk.begin().await.is_err() {
                return Ok(());
            }
            let (notes, _) = mpsc::channel(1);
            let links = self.desk.open(&notes).into_iter();
            self.links = links.map(|(way, ears)| Link { way, ears, wire: None, again_at: now }).collect();
            self.has_begun = true;
        }
        for link in &mut self.links {
            if link.wire.is_none() && now >= link.again_at.max(smsc.unreachable_until) {
                link.wire = Some(Wire::new(&link.way, link.ears.number, smsc, now));
            }
            let Some(wire) = &mut link.wire else { continue };
            wire.talk.session.tick(now);
            if ground.dice.is_calm || !ground.dice.one_in(5) {
                wire.carry(&mut ground.dice, now);
            }
            wire.serve(smsc, &mut ground.truth, &mut ground.dice, now);
            if ground.dice.is_calm || !ground.dice.one_in(5) {
                wire.carry(&mut ground.dice, now);
            }
        }
        let heard = self.hear(ground, smsc).await?;
        if ground.plant == Plant::NoRenewal && !heard && !self.given.is_empty() {
            return Ok(());
        }
        self.cycle(ground, smsc).await;
        self.obey(ground, smsc)
    }
}

impl Node {
    pub fn new(ground: &Ground, smscs: &[Smsc], number: u8) -> Self {
        let holder = Holder([number; 16]);
        let posts = smscs.iter().map(|smsc| Post::new(ground, smsc, holder)).collect();
        let leases = Leases::new(holder, ground.clock.clone());
        Node { name: format!("n{number}"), leases, paused_until: 0, calls: Vec::new(), posts }
    }

    /// A moment of all that it does for carriers.
    pub async fn turn(&mut self, ground: &mut Ground, smscs: &mut [Smsc]) -> Found {
        for (post, smsc) in self.posts.iter_mut().zip(smscs) {
            post.turn(ground, smsc).await?;
        }
        Ok(())
    }

    /// One of its connections breaks.
    pub fn drop_link(&mut self, ground: &mut Ground, smscs: &mut [Smsc]) {
        let at = ground.dice.index(self.posts.len());
        let (post, smsc, now) = (&mut self.posts[at], &mut smscs[at], ground.clock.now_us());
        let up: Vec<&mut Wire> = post.links.iter_mut().filter_map(|link| link.wire.as_mut()).collect();
        if up.is_empty() {
            return;
        }
        let which = ground.dice.index(up.len());
        if let Some(wire) = up.into_iter().nth(which) {
            ground.dice.count(Fault::LinkDropped);
            wire.cut(smsc, &mut ground.truth, &mut ground.dice, now);
        }
    }

    /// It does nothing for a while, longer perhaps than its leases last.
    pub fn pause(&mut self, ground: &mut Ground, until: i64) {
        self.paused_until = until;
        for post in &mut self.posts {
            post.doubt_all(&mut ground.truth);
        }
    }

    /// It dies; what it claimed last may not even have reached a link.
    pub async fn crash(&mut self, ground: &mut Ground, smscs: &mut [Smsc]) {
        let after_claim = ground.dice.strikes(Fault::CrashAfterClaim, 2);
        for (post, smsc) in self.posts.iter_mut().zip(smscs) {
            if after_claim && post.has_begun {
                post.cycle(ground, smsc).await;
            }
            post.doubt_all(&mut ground.truth);
            if ground.plant == Plant::SendBeforeRecord && !post.given.is_empty() {
                plants::unclaim(&ground.store, smsc.carrier.id).await;
            }
            post.lose(ground, smsc);
        }
    }

    /// Whether nothing of it is under way.
    pub fn is_quiet(&self) -> bool {
        let mut wires = self.posts.iter().flat_map(|post| &post.links).filter_map(|link| link.wire.as_ref());
        self.calls.is_empty()
            && self.posts.iter().all(|post| post.given.is_empty() && post.asked.is_empty())
            && wires.all(Wire::is_quiet)
    }
}

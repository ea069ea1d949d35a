//! Asking for a name's addresses.

use std::collections::HashMap;
use std::future::Future;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

#[cfg(feature = "deliver")]
use crate::endpoint::{is_internal, is_localhost};

/// Looks a name up.
///
/// An implementation asks for A and AAAA, returns every answer unfiltered and in order (the guard has to see
/// the bad ones), and treats the name as absolute: no search domains.
pub trait Resolve: Send + Sync {
    /// Every address of `name`, which is lower-case ASCII without trailing dot.
    ///
    /// # Errors
    /// [`ResolveError`] when the lookup failed. A name without addresses may be an empty list or an error.
    fn resolve(&self, name: &str) -> impl Future<Output = Result<Vec<IpAddr>, ResolveError>> + Send;

    /// Whether the answers come from DNS, so that the network's NAT64 prefixes can be asked for there (RFC 7050).
    /// Yes, unless an implementation knows better.
    fn asks_dns(&self) -> bool {
        true
    }
}

impl<R: Resolve + ?Sized> Resolve for &R {
    fn resolve(&self, name: &str) -> impl Future<Output = Result<Vec<IpAddr>, ResolveError>> + Send {
        (**self).resolve(name)
    }

    fn asks_dns(&self) -> bool {
        (**self).asks_dns()
    }
}

impl<R: Resolve + ?Sized> Resolve for std::sync::Arc<R> {
    fn resolve(&self, name: &str) -> impl Future<Output = Result<Vec<IpAddr>, ResolveError>> + Send {
        (**self).resolve(name)
    }

    fn asks_dns(&self) -> bool {
        (**self).asks_dns()
    }
}

/// A lookup failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, thiserror::Error)]
#[error("name lookup failed")]
pub struct ResolveError(());

impl ResolveError {
    /// For implementations of [`Resolve`].
    #[must_use]
    pub fn new() -> Self {
        Self(())
    }

    /// `guard.resolve`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        "guard.resolve"
    }
}

/// The operating system's resolver (`getaddrinfo`), on tokio's blocking threads.
///
/// `localhost` and the names below it are loopback without a question (RFC 6761 §6.3). Public names are asked as
/// absolute names, so that no search domain turns one into another, and for both families. Internal names, which only
/// an accepted risk lets through, are asked as they are, hosts file and search domains included.
///
/// # Security
/// `getaddrinfo` cannot be called off: a name whose servers do not answer keeps a thread for as long as the system
/// waits, often ten seconds and more, while the attempt has long been given up. At most
/// [`MAX_LOOKUPS`](Self::MAX_LOOKUPS) run at a time in a process, so that such names leave tokio's other blocking
/// threads alone; further look-ups wait for their turn, and whoever owns many such names can make others wait with
/// them. A service whose tenants it does not trust takes `HickoryResolver` (feature `hickory`), whose questions need no
/// threads.
#[cfg(feature = "deliver")]
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "a unit struct: the operating system is configured elsewhere")]
pub struct SystemResolver;

#[cfg(feature = "deliver")]
impl SystemResolver {
    /// How many look-ups run at a time in a process: half of the blocking threads tokio has by default.
    pub const MAX_LOOKUPS: usize = 256;
}

#[cfg(feature = "deliver")]
static LOOKUPS: tokio::sync::Semaphore = tokio::sync::Semaphore::const_new(SystemResolver::MAX_LOOKUPS);

#[cfg(feature = "deliver")]
impl Resolve for SystemResolver {
    async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, ResolveError> {
        use std::net::{Ipv4Addr, Ipv6Addr, ToSocketAddrs as _};

        if is_localhost(name) {
            return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
        }
        let is_as_it_is = is_internal(name) && name != super::NAT64_DISCOVERY_NAME;
        let asked = if is_as_it_is { name.to_owned() } else { format!("{name}.") };
        // The port only completes the query.
        let question = move || (asked.as_str(), 0).to_socket_addrs();
        let answers = look_up(&LOOKUPS, question).await?.map_err(|_| ResolveError::new())?;
        Ok(answers.map(|answer| answer.ip()).collect())
    }
}

/// Asks a question that blocks, in its turn.
#[cfg(feature = "deliver")]
async fn look_up<T: Send + 'static>(
    turns: &'static tokio::sync::Semaphore,
    question: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ResolveError> {
    let turn = turns.acquire().await.map_err(|_| ResolveError::new())?;
    let answer = tokio::task::spawn_blocking(move || {
        let answer = question();
        // Kept by the thread, not by whoever may have given up waiting.
        drop(turn);
        answer
    });
    answer.await.map_err(|_| ResolveError::new())
}

/// Answers from a table: for tests, rehearsals and networks without DNS.
///
/// A name may have a sequence of answers, one per lookup, the last of which stays: how a rebinding name
/// behaves. An unknown name fails. Without an entry for `ipv4only.arpa` there is no NAT64 to discover.
///
/// ```
/// use compliance_webhook::guard::TableResolver;
///
/// let table = TableResolver::new()
///     .with("hooks.example.net", &["93.184.216.34".parse()?])
///     .with("hooks.example.net", &["127.0.0.1".parse()?]);
/// assert!(table.answers("hooks.example.net").unwrap()[0].is_ipv4());
/// assert!(table.answers("hooks.example.net").unwrap()[0].is_loopback());
/// assert_eq!(table.lookups(), 2);
/// assert!(table.answers("other.example.net").is_err());
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Debug, Default)]
pub struct TableResolver {
    table: HashMap<Box<str>, Vec<Vec<IpAddr>>>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    lookups: usize,
    next: HashMap<Box<str>, usize>,
}

impl TableResolver {
    /// An empty table.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the answer to the next lookup of `name`.
    #[must_use]
    pub fn with(mut self, name: &str, answers: &[IpAddr]) -> Self {
        self.table.entry(name.into()).or_default().push(answers.to_vec());
        self
    }

    /// The answer to the next lookup.
    ///
    /// # Errors
    /// [`ResolveError`] for a name that is not in the table.
    pub fn answers(&self, name: &str) -> Result<Vec<IpAddr>, ResolveError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.lookups = state.lookups.saturating_add(1);
        let sequence = self.table.get(name).ok_or(ResolveError(()))?;
        let next = state.next.entry(name.into()).or_default();
        let answers = sequence.get(*next).or(sequence.last()).cloned().ok_or(ResolveError(()));
        *next = next.saturating_add(1);
        answers
    }

    /// How many lookups there were.
    #[must_use]
    pub fn lookups(&self) -> usize {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).lookups
    }
}

impl Resolve for TableResolver {
    async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, ResolveError> {
        self.answers(name)
    }

    fn asks_dns(&self) -> bool {
        self.table.contains_key(super::NAT64_DISCOVERY_NAME)
    }
}

#[cfg(all(test, feature = "deliver"))]
mod tests {
    use std::pin::pin;
    use std::sync::mpsc;
    use std::task::{Context, Poll, Waker};

    use tokio::sync::Semaphore;

    use super::look_up;

    /// Questions cannot be called off: one that nobody waits for any more keeps its place until it is answered.
    #[tokio::test]
    async fn a_question_given_up_keeps_its_turn_and_others_wait_for_theirs() {
        static TURNS: Semaphore = Semaphore::const_new(2);
        let (answer, answers) = mpsc::channel::<()>();
        let (asked, questions) = mpsc::channel();
        let mut answers = Some(answers);
        for _ in 0..2 {
            let (asked, answers) = (asked.clone(), answers.take());
            let mut given_up = Box::pin(look_up(&TURNS, move || {
                asked.send(()).unwrap();
                // The first one waits to be answered, the second is answered at once.
                answers.map(|answers| answers.recv())
            }));
            let polled = given_up.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            assert!(polled.is_pending());
            questions.recv().unwrap();
        }
        // One of the two is answered and its turn comes back; the other's does not.
        let turn = TURNS.acquire().await.unwrap();
        assert_eq!(TURNS.available_permits(), 0);
        let mut third = pin!(look_up(&TURNS, || "answered"));
        assert_eq!(third.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Pending);
        answer.send(()).unwrap();
        assert_eq!(third.await.unwrap(), "answered");
        drop(turn);
    }
}

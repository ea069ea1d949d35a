//! Whether a client may be served from where it is, under an explicitly chosen policy.
//!
//! Policies are dated data ([`ProgrammeList`]); policy and databases are compiled into a table of places and two maps of
//! classes, for IPv4 and for IPv6, none of which ever changes. [`Embargo::screen`] reads the table, since a verdict says where
//! and why; [`Embargo::class`] reads a map, and the table only where the map is too coarse. Three answers are possible, and only the first carries a proof:
//!
//! - [`Verdict::Servable`] with a [`ServablePlace`], the proof that later steps demand;
//! - [`Verdict::Embargoed`], in the scope of a programme;
//! - [`Verdict::Review`], whenever anything is in doubt: no record, not a public address, an anonymiser, a region
//!   the database does not know, databases or the ends of a tunnel that disagree, data that is too old.
//!
//! ```
//! use compliance_geo::embargo::{Embargo, Policy, Verdict};
//!
//! let embargo = Embargo::builder().policy(Policy::Us).build()?;
//! let now = "2026-07-01T00:00:00Z".parse().unwrap();
//!
//! match embargo.screen("1.1.1.1".parse().unwrap(), now) {
//!     Verdict::Servable(place) => assert!(place.in_force(now).is_ok()),
//!     Verdict::Embargoed(_) | Verdict::Review(_) => unreachable!(),
//! }
//!
//! // Iran, in each form under which a socket may show it.
//! for ip in ["5.22.4.4", "::ffff:5.22.4.4", "2002:516:404::1", "64:ff9b::5.22.4.4"] {
//!     let Verdict::Embargoed(place) = embargo.screen(ip.parse().unwrap(), now) else { unreachable!() };
//!     assert_eq!(place.country().unwrap().as_str(), "IR");
//!     assert_eq!(place.programmes().next().unwrap().id(), "ofac.iran");
//! }
//! # Ok::<(), compliance_geo::embargo::EmbargoError>(())
//! ```

mod builder;
mod compile;
mod error;
mod list;
mod map;
mod policy;
mod programme;
mod reason;
mod region;
#[cfg(feature = "reload")]
pub mod reload;
mod verdict;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use compliance_core::clock::Timestamp;
use compliance_core::event::Event;
use compliance_core::finding::{Enforcement, PolicyVersion};
use compliance_core::snapshot::{Snapshot, Staleness};

use crate::client_ip::EdgeCountry;
use crate::database::Quorum;
use builder::Settings;
pub use builder::{Chosen, DangerousEmbargoBuilder, EmbargoBuilder, NoPolicy};
use compile::Compiled;
pub use error::{EmbargoError, EmbargoErrorKind};
pub use list::{ProgrammeList, ProgrammeListError};
pub use policy::{Policy, UnknownPolicy};
pub use programme::{Authority, Effect, Extent, Programme, ProgrammeKind, Scope};
pub use reason::EmbargoReason;
use reason::Reasons;
pub use verdict::{EmbargoedPlace, PlaceLapsed, ReviewPlace, ServablePlace, Verdict, VerdictClass, Voice};

/// The check: policy and databases, compiled. Cheap to clone and safe to share.
#[derive(Clone)]
pub struct Embargo {
    compiled: Arc<Compiled>,
}

impl Embargo {
    /// How long a [`ServablePlace`] is valid unless the builder says otherwise: 15 minutes. Long enough for a
    /// sign-up form, short enough that the next step of a session asks again.
    pub const DEFAULT_VALIDITY: Duration = Duration::from_secs(15 * 60);

    /// The most databases and programme lists one check uses: as many as an event names.
    pub const MAX_SNAPSHOTS: usize = Event::MAX_SNAPSHOTS;

    /// Starts a check. It can be built once a policy is chosen: there is no default jurisdiction.
    ///
    /// ```compile_fail
    /// let embargo = compliance_geo::embargo::Embargo::builder().build();
    /// ```
    #[must_use]
    pub fn builder() -> EmbargoBuilder<NoPolicy> {
        EmbargoBuilder {
            policies: NoPolicy(()),
            settings: Settings {
                databases: Vec::new(),
                programmes: None,
                quorum: Quorum::default(),
                staleness: Staleness::default(),
                validity: Self::DEFAULT_VALIDITY,
                enforcement: Enforcement::default(),
                review_conflicts: false,
                refused_reviews: Reasons::NONE,
                unknown_regions: None,
            },
        }
    }

    /// Judges an address.
    ///
    /// Looked at are the address itself and every IPv4 address it carries (mapped, compatible, SIIT, NAT64, 6to4,
    /// Teredo, ISATAP). A form that stands for an IPv4 client is judged by that client; where it carries several,
    /// or its own network has a record elsewhere, disagreement is a review. Precedence: embargoed, then
    /// disagreement, then what the place gives reason for, then stale, then no record.
    ///
    /// # Security
    /// An attacker chooses from where to connect. A VPN in a servable country passes unless a database knows it
    /// for one. Screen at every step that matters, not at sign-up only: what regulators settled over was having
    /// the address and not using it.
    pub fn screen(&self, ip: IpAddr, now: Timestamp) -> Verdict {
        Verdict::new(&self.compiled, ip, None, now)
    }

    /// As [`screen`](Self::screen), with the word of a trusted edge as one more voice in the quorum, after the
    /// databases: a country is a vote like theirs, Tor is a review, unknown is no vote.
    ///
    /// ```
    /// use compliance_geo::client_ip::EdgeCountry;
    /// use compliance_geo::embargo::{Embargo, Policy};
    ///
    /// let embargo = Embargo::builder().policy(Policy::Us).build()?;
    /// let (ip, now) = ("1.1.1.1".parse()?, "2026-07-01T00:00:00Z".parse()?);
    /// assert_eq!(embargo.screen(ip, now).code().as_str(), "embargo.servable");
    /// assert_eq!(embargo.screen_with_edge(ip, EdgeCountry::Tor, now).code().as_str(), "embargo.tor");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn screen_with_edge(&self, ip: IpAddr, edge: EdgeCountry, now: Timestamp) -> Verdict {
        Verdict::new(&self.compiled, ip, Some(edge), now)
    }

    /// The verdict's class alone: allocates nothing and leaves nothing to explain. For counting and shedding; a
    /// step that serves needs the proof from [`screen`](Self::screen).
    #[inline]
    pub fn class(&self, ip: IpAddr, now: Timestamp) -> VerdictClass {
        self.compiled.class(ip, now)
    }

    /// Name and version of the policy: the chosen policies and the day of the newest programme list.
    #[must_use]
    pub fn policy(&self) -> &PolicyVersion {
        self.compiled.policy()
    }

    /// Whether refusals are carried out. The layers of this crate obey it.
    #[must_use]
    pub fn enforcement(&self) -> Enforcement {
        self.compiled.enforcement()
    }

    /// The databases and programme lists in use.
    pub fn snapshots(&self) -> impl Iterator<Item = &Snapshot> {
        self.compiled.snapshots()
    }

    /// Those of [`snapshots`](Self::snapshots) that are no longer fresh at `now`: what an operator should be
    /// warned of at the start, long before verdicts change. Databases and the embedded programmes are among them from
    /// the age at which [`staleness`](EmbargoBuilder::staleness) warns; an operator's own list only from that at which
    /// data no longer serves, and it changes no verdict.
    pub fn stale_snapshots(&self, now: Timestamp) -> impl Iterator<Item = &Snapshot> {
        self.compiled.stale_snapshots(now)
    }

    /// The chosen programmes, in force or not.
    #[must_use]
    pub fn programmes(&self) -> &[Programme] {
        self.compiled.programmes()
    }

    /// Resident size in bytes, tables and places included.
    #[must_use]
    pub fn table_bytes(&self) -> usize {
        self.compiled.table_bytes()
    }
}

impl fmt::Debug for Embargo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Embargo({}, {:?}", self.policy(), self.enforcement())?;
        self.snapshots().try_for_each(|snapshot| write!(f, ", {snapshot}"))?;
        f.write_str(")")
    }
}

/// Whoever holds the check that is in force: an [`Embargo`] that never changes, or one whose databases are replaced
/// while it is in use.
pub trait Screening: Send + Sync {
    /// The check in force.
    fn current(&self) -> Embargo;
}

impl Screening for Embargo {
    fn current(&self) -> Embargo {
        self.clone()
    }
}

impl<S: Screening + ?Sized> Screening for Arc<S> {
    fn current(&self) -> Embargo {
        (**self).current()
    }
}

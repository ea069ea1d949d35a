//! What a database can say of a network.

use compliance_core::country::{CountryCode, SubdivisionCode};

/// Where a network is, and whether it hides its users.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Place {
    pub(super) country: Option<CountryCode>,
    pub(super) subdivision: Option<SubdivisionCode>,
    pub(super) registered_country: Option<CountryCode>,
    pub(super) represented_country: Option<CountryCode>,
    pub(super) anonymity: Anonymity,
}

impl Place {
    /// A country and nothing else.
    pub(crate) fn in_country(country: CountryCode) -> Self {
        Self { country: Some(country), ..Self::default() }
    }

    /// Nobody knows where, behind Tor.
    pub(crate) fn behind_tor() -> Self {
        let anonymity = Anonymity { anonymous: true, tor_exit_node: true, ..Anonymity::default() };
        Self { anonymity, ..Self::default() }
    }

    /// The country the network is in.
    #[must_use]
    pub fn country(&self) -> Option<CountryCode> {
        self.country
    }

    /// The part of the country it is in: the largest one the database names.
    #[must_use]
    pub fn subdivision(&self) -> Option<SubdivisionCode> {
        self.subdivision
    }

    /// The country in whose registry the network is, where it differs from [`country`](Self::country) or that is
    /// unknown.
    #[must_use]
    pub fn registered_country(&self) -> Option<CountryCode> {
        self.registered_country
    }

    /// The country whose embassy or armed forces use the network, where that is not
    /// [`country`](Self::country).
    #[must_use]
    pub fn represented_country(&self) -> Option<CountryCode> {
        self.represented_country
    }

    /// Whether the network hides its users.
    #[must_use]
    pub fn anonymity(&self) -> Anonymity {
        self.anonymity
    }
}

/// How a network hides where its users are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Anonymity {
    pub(super) anonymous: bool,
    pub(super) confidence: Option<u8>,
    pub(super) hosting_provider: bool,
    pub(super) public_proxy: bool,
    pub(super) residential_proxy: bool,
    pub(super) tor_exit_node: bool,
    pub(super) vpn: bool,
}

impl Anonymity {
    /// Belongs to some service that hides its users, the ones below included, or somebody thinks so with any
    /// confidence at all.
    #[must_use]
    pub fn is_anonymous(&self) -> bool {
        self.anonymous
            || self.public_proxy
            || self.residential_proxy
            || self.tor_exit_node
            || self.vpn
            || self.confidence.is_some_and(|percent| percent > 0)
    }

    /// How sure the database is that the network hides its users, in per cent; only some say.
    #[must_use]
    pub fn confidence(&self) -> Option<u8> {
        self.confidence
    }

    /// Belongs to a hosting provider. Says little by itself: servers are clients too.
    #[must_use]
    pub fn is_hosting_provider(&self) -> bool {
        self.hosting_provider
    }

    /// An open proxy.
    #[must_use]
    pub fn is_public_proxy(&self) -> bool {
        self.public_proxy
    }

    /// A proxy in a home network, usually without its owner's knowledge.
    #[must_use]
    pub fn is_residential_proxy(&self) -> bool {
        self.residential_proxy
    }

    /// A Tor exit node.
    #[must_use]
    pub fn is_tor_exit_node(&self) -> bool {
        self.tor_exit_node
    }

    /// A VPN service.
    #[must_use]
    pub fn is_vpn(&self) -> bool {
        self.vpn
    }
}

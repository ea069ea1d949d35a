//! People in events, sealed under a key of their own each.

use std::fmt;

use super::{Actor, Event};
use crate::id::{ActorId, SubjectId, TenantId};
use crate::random::SecureRandom;
use crate::seal::{
    KeyId, KeyOwner, KeyStore, OpenError, OpenErrorKind, SealContext, SealError, SealErrorKind, Sealed,
};

/// The kind of key owner a person is as a data subject: acted for, target, mentioned. Destroying it is an erasure.
pub const SUBJECT_KEY: &str = "audit.subject";

/// The kind of key owner a person is as the one who acted. It outlives the statutory retention of the trail.
pub const ACTOR_KEY: &str = "audit.actor";

/// Somebody an event speaks of. `Debug` does not show who.
#[derive(Clone, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "an `_` arm would be where the erased pass for known")]
pub enum Person {
    /// The key was destroyed: nobody can tell who it was.
    Erased(KeyId),
    /// The identifier.
    Known(Box<str>),
}

impl fmt::Debug for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Erased(_) => "[erased]",
            Self::Known(_) => "[personal]",
        })
    }
}

/// The people of an event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct People {
    actor: Option<Person>,
    on_behalf_of: Option<Person>,
    subjects: Vec<Person>,
}

impl People {
    /// Who acted; `None` when nobody with an identifier did.
    #[must_use]
    pub fn actor(&self) -> Option<&Person> {
        self.actor.as_ref()
    }

    /// On behalf of whom.
    #[must_use]
    pub fn on_behalf_of(&self) -> Option<&Person> {
        self.on_behalf_of.as_ref()
    }

    /// Whose data was concerned.
    #[must_use]
    pub fn subjects(&self) -> &[Person] {
        &self.subjects
    }
}

impl Event {
    /// The same event with every person in it sealed: subjects and whoever was acted for under their keys as data
    /// subjects ([`SUBJECT_KEY`]), the person who acted under their key as actor ([`ACTOR_KEY`]). Keys belong to the
    /// event's tenant and are made where there are none. Each value is bound to kind, time and place in the event.
    ///
    /// Whoever acts upon themselves is sealed under their key as actor in both places: beside a name that can be read,
    /// the id of their key as data subject would name them in every other record once that is destroyed.
    ///
    /// # Security
    /// A value sealed under somebody's key as data subject in a field of an event they are the actor of, or in which they
    /// are named otherwise, gives their key away in the same manner. Fields are the caller's.
    ///
    /// # Errors
    /// [`SealError`] when the key store or the random source fails.
    pub fn seal_people(&self, keys: &dyn KeyStore, random: &dyn SecureRandom) -> Result<Self, SealError> {
        let mut sealed = self.clone();
        let kind_of = |name: &str| match &self.actor {
            Actor::Person(id) if id.as_str() == name => ACTOR_KEY,
            _ => SUBJECT_KEY,
        };
        let seal = |kind: &str, role: Role, name: &str| -> Result<Sealed, SealError> {
            let owner =
                owner(kind, name, self.tenant()).ok_or(SealErrorKind::TooLong { found: name.len() })?;
            let place = self.place(role);
            keys.seal(&owner, self.context(&place), name.as_bytes(), random)
        };
        if let Actor::Person(id) = &self.actor {
            sealed.actor = Actor::SealedPerson(Box::new(seal(ACTOR_KEY, Role::Actor, id.as_str())?));
        }
        if let Some(Actor::Person(id)) = &self.on_behalf_of {
            let person = seal(kind_of(id.as_str()), Role::OnBehalfOf, id.as_str())?;
            sealed.on_behalf_of = Some(Actor::SealedPerson(Box::new(person)));
        }
        for subject in std::mem::take(&mut sealed.subjects) {
            let name = subject.as_str();
            sealed.sealed_subjects.push(seal(kind_of(name), Role::Subject, name)?);
        }
        Ok(sealed)
    }

    /// The people of the event, opened where they are sealed.
    ///
    /// # Errors
    /// [`OpenError`] when a key was never the store's or a value was tampered with, or the store is not available. An
    /// erased person is no error but [`Person::Erased`].
    pub fn people(&self, keys: &dyn KeyStore) -> Result<People, OpenError> {
        let open = |role: Role, sealed: &Sealed| {
            let place = self.place(role);
            match keys.open(self.context(&place), sealed) {
                Ok(opened) => {
                    let name = str::from_utf8(opened.as_bytes()).map_err(|_| OpenErrorKind::Failed)?;
                    Ok(Person::Known(name.into()))
                }
                Err(error) if error.kind() == OpenErrorKind::Destroyed => Ok(Person::Erased(sealed.key())),
                Err(error) => Err(error),
            }
        };
        let actor = |role: Role, actor: &Actor| match actor {
            Actor::SealedPerson(sealed) => open(role, sealed).map(Some),
            plain => Ok(plain.id().map(|id| Person::Known(id.as_str().into()))),
        };
        let mut subjects: Vec<_> =
            self.subjects.iter().map(|subject| Person::Known(subject.as_str().into())).collect();
        for sealed in &self.sealed_subjects {
            subjects.push(open(Role::Subject, sealed)?);
        }
        Ok(People {
            actor: actor(Role::Actor, &self.actor)?,
            on_behalf_of: self
                .on_behalf_of
                .as_ref()
                .map_or(Ok(None), |person| actor(Role::OnBehalfOf, person))?,
            subjects,
        })
    }

    /// What sets one event, and one place in it, apart from others.
    fn place(&self, role: Role) -> Vec<u8> {
        let mut place = vec![role as u8];
        place.extend_from_slice(&self.at.as_unix_nanos().to_be_bytes());
        if let Some(correlation) = &self.correlation {
            place.extend_from_slice(correlation.id().as_bytes());
        }
        place.extend_from_slice(self.kind.code().as_bytes());
        place
    }

    fn context<'a>(&'a self, place: &'a [u8]) -> SealContext<'a> {
        let context = SealContext::new("audit.person").record(place);
        self.tenant.as_ref().map_or(context, |tenant| context.tenant(tenant))
    }
}

#[derive(Clone, Copy)]
enum Role {
    Actor = 1,
    OnBehalfOf = 2,
    Subject = 3,
}

fn owner(kind: &str, name: &str, tenant: Option<&TenantId>) -> Option<KeyOwner> {
    let owner = KeyOwner::new(kind, name).ok()?;
    Some(tenant.map_or(owner.clone(), |tenant| owner.of_tenant(tenant.clone())))
}

impl SubjectId {
    /// Whose key an event's [`seal_people`](Event::seal_people) seals this subject under. `None` when the identifier
    /// is longer than a key owner's name may be.
    #[must_use]
    pub fn key_owner(&self, tenant: Option<&TenantId>) -> Option<KeyOwner> {
        owner(SUBJECT_KEY, self.as_str(), tenant)
    }
}

impl ActorId {
    /// Whose key an event's [`seal_people`](Event::seal_people) seals this actor under. `None` when the identifier is
    /// longer than a key owner's name may be.
    #[must_use]
    pub fn key_owner(&self, tenant: Option<&TenantId>) -> Option<KeyOwner> {
        owner(ACTOR_KEY, self.as_str(), tenant)
    }
}

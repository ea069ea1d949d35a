//! Payloads whose fields know their class.

use std::fmt::{self, Write as _};

use compliance_core::class::{
    Classified, Confidential, DataClass, Internal, Personal, Public, Purpose, Sensitive,
};
use compliance_core::clock::Timestamp;
use compliance_core::finding::Enforcement;
use compliance_core::id::TenantId;

use super::{DataClasses, EndpointRecord, Instruction, NewMessage, NewMessageError};

/// An event whose fields carry their data class, as JSON of the form Standard Webhooks recommends: `type`, `timestamp`,
/// `data`.
///
/// One event, and each endpoint gets what its client has instructed us to send there: the fields of other classes are
/// left out. What is always left is a thin event, with which the receiver can ask for the rest under its own authority.
///
/// ```
/// use compliance_core::class::{Internal, Personal};
/// use compliance_core::purpose;
/// use compliance_webhook::outbox::EventPayload;
///
/// let email = Personal::new("anna@example.com".to_owned());
/// let event = EventPayload::new("user.created", "2026-11-21T12:00:00Z".parse()?, purpose!("crm.sync"))?
///     .field("id", &Internal("user-17"))
///     .field("email", &email);
/// assert_eq!(
///     event.thin(),
///     r#"{"type":"user.created","timestamp":"2026-11-21T12:00:00Z","data":{"id":"user-17"}}"#
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct EventPayload {
    event_type: Box<str>,
    at: Timestamp,
    purpose: Purpose,
    fields: Vec<Field>,
    enforcement: Enforcement,
}

#[derive(Clone, PartialEq, Eq)]
struct Field {
    name: &'static str,
    class: DataClass,
    json: String,
}

impl EventPayload {
    /// The longest event type, in bytes.
    pub const MAX_TYPE_LEN: usize = 128;

    /// An event without fields: of which type, when it happened, and what its data are sent for.
    ///
    /// # Errors
    /// `message.event_type` unless the type is of letters, digits and underscores, in parts joined by full stops
    /// (Standard Webhooks, "Payload structure"), and at most [`MAX_TYPE_LEN`](Self::MAX_TYPE_LEN) bytes long.
    pub fn new(event_type: &str, at: Timestamp, purpose: Purpose) -> Result<Self, NewMessageError> {
        let is_part = |part: &str| {
            !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        };
        if event_type.len() > Self::MAX_TYPE_LEN || !event_type.split('.').all(is_part) {
            return Err(NewMessageError::EventType { found: event_type.len() });
        }
        let enforcement = Enforcement::Enforce;
        Ok(Self { event_type: event_type.into(), at, purpose, fields: Vec::new(), enforcement })
    }

    /// Report-only for a roll-out: no field is left out. Such a message is taken, and reported, by an outbox that is
    /// report-only, too; any other refuses it. Default: [`Enforcement::Enforce`].
    #[must_use]
    pub fn with_enforcement(self, enforcement: Enforcement) -> Self {
        Self { enforcement, ..self }
    }

    /// Adds a field to the data. A name given again replaces what it stood for.
    #[must_use]
    pub fn field(mut self, name: &'static str, value: &impl PayloadField) -> Self {
        let (class, json) = value.disclosed(&self.purpose);
        self.fields.retain(|field| field.name != name);
        self.fields.push(Field { name, class, json });
        self
    }

    /// The event with public and internal fields only.
    #[must_use]
    pub fn thin(&self) -> String {
        self.json(DataClasses::NONE)
    }

    /// The message for an endpoint: with the fields its instruction covers, and thin without one for this purpose.
    ///
    /// # Errors
    /// As [`NewMessage::impersonal`].
    pub fn message(
        &self,
        tenant: &TenantId,
        endpoint: &EndpointRecord,
    ) -> Result<NewMessage, NewMessageError> {
        let instruction = endpoint.instruction().filter(|instruction| *instruction.purpose() == self.purpose);
        let allowed = match self.enforcement {
            Enforcement::Enforce => instruction.map_or(DataClasses::NONE, Instruction::classes),
            Enforcement::ReportOnly => DataClasses::of(&DataClass::ALL),
        };
        let sent: Vec<DataClass> =
            self.fields.iter().map(|field| field.class).filter(|class| allowed.contains(*class)).collect();
        NewMessage::impersonal(tenant, endpoint.id(), self.json(allowed))?
            .with_classes(&sent, self.purpose.clone())
    }

    fn json(&self, allowed: DataClasses) -> String {
        let mut json = String::from("{\"type\":");
        write_text(&mut json, &self.event_type);
        // Writing to a string does not fail.
        let _ = write!(json, ",\"timestamp\":\"{}\",\"data\":{{", self.at);
        let sent = self.fields.iter().filter(|field| allowed.contains(field.class));
        for (number, field) in sent.enumerate() {
            if number > 0 {
                json.push(',');
            }
            write_text(&mut json, field.name);
            json.push(':');
            json.push_str(&field.json);
        }
        json.push_str("}}");
        json
    }
}

impl fmt::Debug for EventPayload {
    /// Without the fields.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventPayload").field("event_type", &self.event_type).finish_non_exhaustive()
    }
}

/// A value with its class: one of the wrappers of [`compliance_core::class`] around text, a number, a truth value or a
/// time. Sealed. There is none for secrets.
pub trait PayloadField: sealed::Field {}

mod sealed {
    use compliance_core::class::{DataClass, Purpose};

    #[expect(unnameable_types, reason = "seals `PayloadField`")]
    pub trait Field {
        fn disclosed(&self, purpose: &Purpose) -> (DataClass, String);
    }

    #[expect(unnameable_types, reason = "seals what is in a `PayloadField`")]
    pub trait Value {
        fn json(&self) -> String;
    }
}

macro_rules! fields {
    ($($class:ident => |$value:ident, $purpose:ident| $read:expr;)*) => {
        $(
            impl<T: sealed::Value> sealed::Field for $class<T> {
                fn disclosed(&self, $purpose: &Purpose) -> (DataClass, String) {
                    let $value = self;
                    (<Self as Classified>::CLASS, sealed::Value::json($read))
                }
            }

            impl<T: sealed::Value> PayloadField for $class<T> {}
        )*
    };
}

fields! {
    Confidential => |value, purpose| value.disclose(purpose);
    Internal => |value, _purpose| &value.0;
    Personal => |value, purpose| value.disclose(purpose);
    Public => |value, _purpose| &value.0;
    Sensitive => |value, purpose| value.disclose(purpose);
}

macro_rules! plain {
    ($($type:ty),*) => {
        $(impl sealed::Value for $type {
            fn json(&self) -> String {
                self.to_string()
            }
        })*
    };
}

plain!(bool, i32, i64, u16, u32);

macro_rules! text {
    ($($type:ty),*) => {
        $(impl sealed::Value for $type {
            fn json(&self) -> String {
                let mut json = String::new();
                write_text(&mut json, &self.to_string());
                json
            }
        })*
    };
}

text!(&str, String, Timestamp);

/// RFC 8259 §7.
fn write_text(json: &mut String, text: &str) {
    json.push('"');
    for character in text.chars() {
        match character {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '\n' => json.push_str("\\n"),
            // Writing to a string does not fail.
            ..' ' => drop(write!(json, "\\u{:04x}", u32::from(character))),
            _ => json.push(character),
        }
    }
    json.push('"');
}

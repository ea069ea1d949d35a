//! CloudEvents 1.0 as webhook bodies.
//!
//! A [`CloudEvent`] is sent in [structured mode](CloudEvent::structured), attributes and data in one JSON body, or in
//! [binary mode](CloudEvent::binary), attributes as headers and data as the body (CloudEvents 1.0.2; JSON Event Format;
//! HTTP Protocol Binding).

mod parse;

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use compliance_core::clock::Timestamp;
use serde::de::IgnoredAny;

use crate::deliver::ContentType;
use crate::sign::MessageId;

/// The version of the specification, as events say it.
pub const SPEC_VERSION: &str = "1.0";

/// The names extensions cannot have.
const RESERVED: [&str; 10] = [
    "data",
    "data_base64",
    "datacontenttype",
    "dataschema",
    "id",
    "source",
    "specversion",
    "subject",
    "time",
    "type",
];

/// One event.
///
/// ```
/// use compliance_webhook::MessageId;
/// use compliance_webhook::cloud_event::CloudEvent;
///
/// let event = CloudEvent::new(MessageId::parse("msg_1")?, "/accounts", "com.example.account.created")?
///     .with_time("2026-11-21T12:00:00Z".parse()?)
///     .with_json(br#"{"account":"17"}"#)?;
/// assert_eq!(
///     String::from_utf8(event.structured())?,
///     concat!(
///         r#"{"specversion":"1.0","id":"msg_1","source":"/accounts","type":"com.example.account.created","#,
///         r#""time":"2026-11-21T12:00:00Z","datacontenttype":"application/json","data":{"account":"17"}}"#,
///     ),
/// );
/// assert!(event.clone().with_json(b"{").is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct CloudEvent {
    attributes: Vec<(Box<str>, Box<str>)>,
    data: Option<Data>,
}

#[derive(Clone, PartialEq, Eq)]
enum Data {
    Bytes(ContentType, Box<[u8]>),
    /// INVARIANT: parsed as JSON.
    Json(ContentType, Box<str>),
}

impl Data {
    fn content_type(&self) -> &ContentType {
        match self {
            Self::Bytes(content_type, _) | Self::Json(content_type, _) => content_type,
        }
    }

    fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Bytes(_, data) => data,
            Self::Json(_, text) => text.as_bytes(),
        }
    }
}

impl CloudEvent {
    /// The longest attribute, in bytes.
    pub const MAX_ATTRIBUTE_LEN: usize = 1024;
    /// The longest name of an extension, in bytes (CloudEvents §"Naming Conventions").
    pub const MAX_NAME_LEN: usize = 20;
    /// The most extensions.
    pub const MAX_EXTENSIONS: usize = 16;

    /// Names an event: the message's id, the context it happened in (a URI reference), and what happened.
    ///
    /// # Errors
    /// `cloud_event.attribute` when `source` or `kind` is empty, longer than
    /// [`MAX_ATTRIBUTE_LEN`](Self::MAX_ATTRIBUTE_LEN) bytes or has a control character, or `source` anything but
    /// visible ASCII.
    pub fn new(id: MessageId, source: &str, kind: &str) -> Result<Self, CloudEventError> {
        if !Self::is_source(source) {
            return Err(CloudEventError::Attribute);
        }
        let mut event = Self { attributes: Vec::new(), data: None };
        event.put("specversion", SPEC_VERSION)?;
        event.put("id", id.as_str())?;
        event.put("source", source)?;
        event.put("type", kind)?;
        Ok(event)
    }

    /// Says what of the source it is about.
    ///
    /// # Errors
    /// `cloud_event.attribute`, as for [`new`](Self::new).
    pub fn with_subject(mut self, subject: &str) -> Result<Self, CloudEventError> {
        self.put("subject", subject)?;
        Ok(self)
    }

    /// Says when it happened.
    #[must_use]
    pub fn with_time(mut self, time: Timestamp) -> Self {
        self.replace("time", &time.to_string());
        self
    }

    /// Adds an attribute of one's own: 1 to [`MAX_NAME_LEN`](Self::MAX_NAME_LEN) lower-case letters and digits.
    ///
    /// # Errors
    /// `cloud_event.name` when the name is not of that shape, or one of the specification's, `cloud_event.attribute`
    /// for the value, `cloud_event.extensions` past [`MAX_EXTENSIONS`](Self::MAX_EXTENSIONS).
    pub fn with_extension(mut self, name: &str, value: &str) -> Result<Self, CloudEventError> {
        if RESERVED.contains(&name) {
            return Err(CloudEventError::Name);
        }
        Self::check_name(name)?;
        let extensions = self.attributes.iter().filter(|(name, _)| !RESERVED.contains(&&**name)).count();
        if extensions >= Self::MAX_EXTENSIONS {
            return Err(CloudEventError::Extensions);
        }
        self.put(name, value)?;
        Ok(self)
    }

    /// Adds data in JSON.
    ///
    /// # Errors
    /// `cloud_event.data` when it is no JSON.
    pub fn with_json(mut self, data: &[u8]) -> Result<Self, CloudEventError> {
        // The parser skips strings without looking into them.
        let text = std::str::from_utf8(data).map_err(|_| CloudEventError::Data)?;
        serde_json::from_str::<IgnoredAny>(text).map_err(|_| CloudEventError::Data)?;
        self.data = Some(Data::Json(ContentType::JSON, text.into()));
        Ok(self)
    }

    /// Adds data of any other type. In structured mode it is sent in base64, JSON included.
    #[must_use]
    pub fn with_data(mut self, content_type: ContentType, data: &[u8]) -> Self {
        self.data = Some(Data::Bytes(content_type, data.into()));
        self
    }

    /// The body in structured mode; its type is [`ContentType::CLOUDEVENTS_JSON`].
    #[must_use]
    pub fn structured(&self) -> Vec<u8> {
        let mut body = vec![b'{'];
        for (name, value) in &self.attributes {
            member(&mut body, name, value);
        }
        if let Some(data) = &self.data {
            member(&mut body, "datacontenttype", data.content_type().as_str());
            match data {
                Data::Bytes(_, data) => member(&mut body, "data_base64", &STANDARD.encode(data)),
                Data::Json(_, text) => {
                    body.extend_from_slice(b",\"data\":");
                    body.extend_from_slice(text.as_bytes());
                }
            }
        }
        body.push(b'}');
        body
    }

    /// The event in binary mode.
    ///
    /// # Security
    /// Standard Webhooks signs id, time and body, not the `ce-` headers: a receiver must not decide on them. In
    /// [structured mode](Self::structured) everything is signed.
    #[must_use]
    pub fn binary(&self) -> BinaryEvent {
        let header =
            |(name, value): &(Box<str>, Box<str>)| (format!("ce-{name}").into(), percent_encoded(value));
        let headers = self.attributes.iter().map(header).collect();
        let content_type = self.data.as_ref().map_or(&ContentType::OCTET_STREAM, Data::content_type).clone();
        let data = self.data.as_ref().map(Data::as_bytes).unwrap_or_default().into();
        BinaryEvent { headers, content_type, data }
    }

    /// Which event of its source it is.
    #[must_use]
    pub fn id(&self) -> &str {
        self.attribute("id").unwrap_or_default()
    }

    fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(found, _)| &**found == name).map(|(_, value)| &**value)
    }

    fn is_source(text: &str) -> bool {
        text.bytes().all(|byte| byte.is_ascii_graphic())
    }

    fn check_name(name: &str) -> Result<(), CloudEventError> {
        let shape = (1..=Self::MAX_NAME_LEN).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        if shape { Ok(()) } else { Err(CloudEventError::Name) }
    }

    fn put(&mut self, name: &str, value: &str) -> Result<(), CloudEventError> {
        let fits = (1..=Self::MAX_ATTRIBUTE_LEN).contains(&value.len());
        if !fits || value.chars().any(char::is_control) {
            return Err(CloudEventError::Attribute);
        }
        self.replace(name, value);
        Ok(())
    }

    fn replace(&mut self, name: &str, value: &str) {
        self.attributes.retain(|(found, _)| &**found != name);
        self.attributes.push((name.into(), value.into()));
    }
}

impl fmt::Debug for CloudEvent {
    /// Without subject, extensions and data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CloudEvent").field("attributes", &self.attributes.len()).finish_non_exhaustive()
    }
}

fn member(body: &mut Vec<u8>, name: &str, value: &str) {
    if body.len() > 1 {
        body.push(b',');
    }
    body.push(b'"');
    body.extend_from_slice(name.as_bytes());
    body.extend_from_slice(b"\":");
    body.extend_from_slice(serde_json::Value::from(value).to_string().as_bytes());
}

/// HTTP Protocol Binding §3.1.3.2: everything but visible ASCII, and `"` and `%`.
fn percent_encoded(value: &str) -> String {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut text = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_graphic() && byte != b'"' && byte != b'%' {
            text.push(char::from(byte));
        } else {
            let digit = |half: u8| char::from(HEX.get(usize::from(half)).copied().unwrap_or(b'0'));
            text.extend(['%', digit(byte.wrapping_shr(4)), digit(byte & 15)]);
        }
    }
    text
}

/// An event in binary mode: headers that are fit to be sent, and the body.
#[derive(Clone, PartialEq, Eq)]
pub struct BinaryEvent {
    headers: Vec<(Box<str>, String)>,
    content_type: ContentType,
    data: Box<[u8]>,
}

impl BinaryEvent {
    /// Names and values: `ce-id`, `ce-source` and so on, percent-encoded.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers.iter().map(|(name, value)| (&**name, value.as_str()))
    }

    /// What the data is; bytes where there is none.
    #[must_use]
    pub fn content_type(&self) -> &ContentType {
        &self.content_type
    }

    /// The data.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        &self.data
    }
}

impl fmt::Debug for BinaryEvent {
    /// Without values and data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BinaryEvent").field("headers", &self.headers.len()).finish_non_exhaustive()
    }
}

/// An event could not be made. Never carries any of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CloudEventError {
    /// An attribute that is none.
    #[error("an attribute is not 1 to {max} bytes without control characters", max = CloudEvent::MAX_ATTRIBUTE_LEN)]
    Attribute,
    /// A body that is no event.
    #[error("the body is no json object with each name once")]
    Body,
    /// Data that is no JSON.
    #[error("the data is no json")]
    Data,
    /// One extension too many.
    #[error("more than {max} extensions", max = CloudEvent::MAX_EXTENSIONS)]
    Extensions,
    /// A name no extension may have.
    #[error(
        "an extension's name is not 1 to {max} lower-case letters and digits, or is taken",
        max = CloudEvent::MAX_NAME_LEN
    )]
    Name,
}

impl CloudEventError {
    /// `cloud_event.attribute`, `.body`, `.data`, `.extensions` or `.name`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Attribute => "cloud_event.attribute",
            Self::Body => "cloud_event.body",
            Self::Data => "cloud_event.data",
            Self::Extensions => "cloud_event.extensions",
            Self::Name => "cloud_event.name",
        }
    }
}

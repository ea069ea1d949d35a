//! What to tell the person, in their language.

use super::policy::PasswordReason;

/// The languages of the messages we ship. For others, translate by [code](PasswordReason::code).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Language {
    /// German.
    De,
    /// English.
    #[default]
    En,
}

impl Language {
    /// Picks by the primary subtag of a BCP 47 tag: `de-AT` is German; anything unknown is English.
    ///
    /// ```
    /// use compliance_auth::password::Language;
    ///
    /// assert_eq!(Language::from_tag("de-AT"), Language::De);
    /// assert_eq!(Language::from_tag("fr"), Language::En);
    /// ```
    #[must_use]
    pub fn from_tag(tag: &str) -> Self {
        let primary = tag.split(['-', '_']).next().unwrap_or_default();
        if primary.eq_ignore_ascii_case("de") { Self::De } else { Self::En }
    }
}

pub(super) fn message(reason: PasswordReason, language: Language) -> String {
    use PasswordReason as R;
    let text = match (language, reason) {
        (Language::En, R::Breached) => {
            "This password is known from a data breach. If you use it elsewhere, change it there as well."
        }
        (Language::De, R::Breached) => {
            "Dieses Passwort ist aus einem Datenleck bekannt. Falls Sie es auch anderswo benutzen, ändern Sie es dort ebenfalls."
        }
        (Language::En, R::BreachUnknown) => {
            "We cannot check right now whether this password is known from a data breach. Please try again later."
        }
        (Language::De, R::BreachUnknown) => {
            "Wir können gerade nicht prüfen, ob dieses Passwort aus einem Datenleck bekannt ist. Bitte versuchen Sie es später noch einmal."
        }
        (Language::En, R::Common) => {
            "This password is among the most used ones and would be guessed at once."
        }
        (Language::De, R::Common) => "Dieses Passwort gehört zu den meistbenutzten und würde sofort erraten.",
        (Language::En, R::Context) => {
            "This password is made of your name, your address or the name of this service. Add something that has nothing to do with them."
        }
        (Language::De, R::Context) => {
            "Dieses Passwort besteht aus Ihrem Namen, Ihrer Adresse oder dem Namen dieses Dienstes. Ergänzen Sie etwas, das damit nichts zu tun hat."
        }
        (Language::En, R::Control) => "A password cannot hold line breaks, tabs or other control characters.",
        (Language::De, R::Control) => {
            "Ein Passwort darf keine Zeilenumbrüche, Tabulatoren oder andere Steuerzeichen enthalten."
        }
        (Language::En, R::Derived) => {
            "This password is put together from well-known passwords or words. Use words that do not belong together, a sentence of your own, or a password manager."
        }
        (Language::De, R::Derived) => {
            "Dieses Passwort ist aus bekannten Passwörtern oder Wörtern zusammengesetzt. Nehmen Sie Wörter, die nicht zusammengehören, einen eigenen Satz oder einen Passwortmanager."
        }
        (Language::En, R::NoDigit) => "The password needs at least one digit.",
        (Language::De, R::NoDigit) => "Das Passwort braucht mindestens eine Ziffer.",
        (Language::En, R::NoLetter) => "The password needs at least one letter.",
        (Language::De, R::NoLetter) => "Das Passwort braucht mindestens einen Buchstaben.",
        (Language::En, R::Pattern) => {
            "This password is a pattern: repeats, rows of keys, or numbers in order."
        }
        (Language::De, R::Pattern) => {
            "Dieses Passwort ist ein Muster: Wiederholungen, Tastenreihen oder fortlaufende Zahlen."
        }
        (Language::En, R::Unassigned) => {
            "The password holds a character that other devices may not be able to type."
        }
        (Language::De, R::Unassigned) => {
            "Das Passwort enthält ein Zeichen, das sich auf anderen Geräten womöglich nicht eingeben lässt."
        }
        (Language::En, R::TooWeak { .. }) => {
            "This password is easy to guess. A longer one with words that do not belong together is better."
        }
        (Language::De, R::TooWeak { .. }) => {
            "Dieses Passwort ist leicht zu erraten. Besser ist ein längeres aus Wörtern, die nicht zusammengehören."
        }
        (Language::En, R::TooLong { max, .. }) => {
            return format!("The password can have up to {max} characters.");
        }
        (Language::De, R::TooLong { max, .. }) => {
            return format!("Das Passwort darf bis zu {max} Zeichen haben.");
        }
        (Language::En, R::TooShort { min, .. }) => {
            return format!(
                "The password needs at least {min} characters. A few words in a row are easy to remember."
            );
        }
        (Language::De, R::TooShort { min, .. }) => {
            return format!(
                "Das Passwort braucht mindestens {min} Zeichen. Ein paar Wörter hintereinander lassen sich gut merken."
            );
        }
    };
    text.to_owned()
}

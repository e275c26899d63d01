//! Events of the login, named as pg names them. Only messages of the server, never our answers.

use serde::Serialize;

/// Hears the events of logins.
pub trait LoginListener: Send + Sync {
    /// A step of a login is done.
    fn hear(&self, step: &LoginStep);
}

/// A step of a login; `length` is that of the server's message, in bytes without its tag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "name")]
pub enum LoginStep {
    /// The socket is connected.
    #[serde(rename = "connect")]
    Connected,
    /// The stream is encrypted from now on.
    #[serde(rename = "sslconnect")]
    Encrypted,
    /// The server accepts the login.
    #[serde(rename = "authenticationOk")]
    Accepted {
        /// Bytes of the message.
        length: usize,
    },
    /// The server wants the password.
    #[serde(rename = "authenticationCleartextPassword")]
    Cleartext {
        /// Bytes of the message.
        length: usize,
    },
    /// The server wants the md5 of the password.
    #[serde(rename = "authenticationMD5Password")]
    Md5 {
        /// Bytes of the message.
        length: usize,
        /// The salt of the hash.
        salt: [u8; 4],
    },
    /// The server offers SASL.
    #[serde(rename = "authenticationSASL")]
    Sasl {
        /// Bytes of the message.
        length: usize,
        /// The mechanisms offered.
        mechanisms: Vec<String>,
        /// The one chosen.
        mechanism: &'static str,
    },
    /// The challenge of the server.
    #[serde(rename = "authenticationSASLContinue")]
    SaslContinue {
        /// Bytes of the message.
        length: usize,
        /// Nonce, salt and iterations.
        data: String,
    },
    /// The server's proof that it knows the password, too.
    #[serde(rename = "authenticationSASLFinal")]
    SaslFinal {
        /// Bytes of the message.
        length: usize,
        /// The signature.
        data: String,
    },
}

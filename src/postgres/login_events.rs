//! What is told of a login while it goes on: the requests of the server, as they come, under the names
//! that pg gives them. Told are the messages themselves, never what we answer.

use serde::Serialize;

/// Somebody who hears how a login goes.
pub trait LoginListener: Send + Sync {
    /// The login has come this far.
    fn hear(&self, step: &LoginStep);
}

/// A step of a login; `length` is that of the server's message, in bytes without its tag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "name")]
pub enum LoginStep {
    /// The socket is there.
    #[serde(rename = "connect")]
    Connected,
    /// What follows is encrypted.
    #[serde(rename = "sslconnect")]
    Encrypted,
    /// The server knows who we are.
    #[serde(rename = "authenticationOk")]
    Accepted {
        /// Of the message.
        length: usize,
    },
    /// It wants the password.
    #[serde(rename = "authenticationCleartextPassword")]
    Cleartext {
        /// Of the message.
        length: usize,
    },
    /// It wants the md5 of the password.
    #[serde(rename = "authenticationMD5Password")]
    Md5 {
        /// Of the message.
        length: usize,
        /// What the hash is salted with.
        salt: [u8; 4],
    },
    /// It offers SASL.
    #[serde(rename = "authenticationSASL")]
    Sasl {
        /// Of the message.
        length: usize,
        /// What is offered.
        mechanisms: Vec<String>,
        /// What we choose.
        mechanism: &'static str,
    },
    /// Its challenge.
    #[serde(rename = "authenticationSASLContinue")]
    SaslContinue {
        /// Of the message.
        length: usize,
        /// Nonce, salt and iterations.
        data: String,
    },
    /// Its proof that it knows the password too.
    #[serde(rename = "authenticationSASLFinal")]
    SaslFinal {
        /// Of the message.
        length: usize,
        /// The signature.
        data: String,
    },
}

//! TLS: the request for it, the handshake with pg's options, errors in OpenSSL's words.
//!
//! rustls knows less than OpenSSL: old certificates, other curves and ciphers. What it refuses for that alone is
//! [`TlsFailure::Unserved`], and Node's TLS may try.

use std::{net::IpAddr, sync::Arc};

use bytes::BytesMut;
use postgres_protocol::message::frontend;
use rustls::{
    AlertDescription, CertificateError, ClientConfig,
    client::danger::ServerCertVerifier,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{
    Error, TlsSettings, VerifyServer,
    socket::Socket,
    verifier::{AcceptAny, Refusal, Verifier},
};

/// Why a socket is not encrypted.
pub(super) enum TlsFailure {
    /// By any TLS it would not be.
    Final(Error),
    /// Our TLS does not know what is wanted.
    Unserved(Error),
}

impl TlsFailure {
    pub(super) fn into_error(self) -> Error {
        match self {
            Self::Final(error) | Self::Unserved(error) => error,
        }
    }
}

impl From<Error> for TlsFailure {
    fn from(error: Error) -> Self {
        Self::Final(error)
    }
}

/// Encrypts a socket as the settings, and the configuration made of them, say.
pub(super) async fn secure(
    mut socket: Socket,
    host: &str,
    settings: &TlsSettings,
    config: Arc<ClientConfig>,
) -> Result<TlsStream<Socket>, TlsFailure> {
    if !settings.direct {
        let mut request = BytesMut::new();
        frontend::ssl_request(&mut request);
        socket.write_all(&request).await.map_err(|error| Error::from_io(&error, "write"))?;
        match socket.read_u8().await {
            Ok(b'S') => {}
            Ok(b'N') => return Err(Error::Plain("The server does not support SSL connections".into()).into()),
            Ok(_) => {
                return Err(Error::Plain("There was an error establishing an SSL connection".into()).into());
            }
            Err(_) => return Err(Error::Lost.into()),
        }
    }
    handshake(socket, host, settings, config).await
}

async fn handshake(
    socket: Socket,
    host: &str,
    settings: &TlsSettings,
    config: Arc<ClientConfig>,
) -> Result<TlsStream<Socket>, TlsFailure> {
    // Only a host without a name of its own is asked for by another.
    let name = match &settings.server_name {
        Some(name) if host.parse::<IpAddr>().is_ok() => name,
        _ => host,
    };
    let name = ServerName::try_from(name.to_owned()).map_err(|_| {
        TlsFailure::Unserved(configuration(format!("'{name}' is not a name a certificate can carry")))
    })?;
    TlsConnector::from(config).connect(name, socket).await.map_err(|error| judged(&error))
}

/// The settings in the terms of rustls. An error is one of what rustls can do.
pub(super) fn client_config(settings: &TlsSettings) -> Result<Arc<ClientConfig>, Error> {
    let mut config = with_certificates(settings)?;
    if settings.direct {
        config.alpn_protocols = vec![b"postgresql".to_vec()];
    }
    Ok(Arc::new(config))
}

fn with_certificates(settings: &TlsSettings) -> Result<ClientConfig, Error> {
    let provider = Arc::new(ring::default_provider());
    let algorithms = provider.signature_verification_algorithms;
    let verifier: Arc<dyn ServerCertVerifier> = match settings.verify {
        VerifyServer::Full => Arc::new(verifier(settings, algorithms)?),
        VerifyServer::None => Arc::new(AcceptAny(algorithms)),
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| configuration(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    match (&settings.certificate, &settings.key) {
        (Some(certificate), Some(key)) => {
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
                .map_err(|_| configuration("the client key is not an unencrypted PEM private key"))?;
            builder
                .with_client_auth_cert(certificates(certificate, "client certificate")?, key)
                .map_err(|error| configuration(format!("the client certificate cannot be used: {error}")))
        }
        (None, None) => Ok(builder.with_no_client_auth()),
        _ => Err(configuration("a client certificate needs both cert and key")),
    }
}

fn verifier(
    settings: &TlsSettings,
    algorithms: rustls::crypto::WebPkiSupportedAlgorithms,
) -> Result<Verifier, Error> {
    let read = |pems: &[String]| {
        let read = pems.iter().map(|pem| certificates(pem, "certificate authority"));
        read.collect::<Result<Vec<_>, _>>().map(|all| all.concat())
    };
    Ok(match &settings.authorities {
        Some(authorities) => Verifier::new(&read(authorities)?, algorithms),
        None => Verifier::new(&read(&settings.extra_authorities)?, algorithms).with_usual_authorities(),
    })
}

/// The certificates of a PEM text. One that has anything else is for OpenSSL to read: sections of other names, or of
/// none because a byte order mark stands before it.
fn certificates(pem: &str, what: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match certificates {
        Ok(certificates)
            if !certificates.is_empty() && pem.matches("-----BEGIN ").count() == certificates.len() =>
        {
            Ok(certificates)
        }
        _ => Err(configuration(format!("the {what} is not a PEM certificate"))),
    }
}

fn configuration(message: impl Into<String>) -> Error {
    Error::Tls { message: message.into(), code: None }
}

/// A handshake that failed. Only what rustls lacks is unserved: its view of a certificate beyond name, time and
/// issuer, and an offer of which a server takes nothing.
fn judged(error: &std::io::Error) -> TlsFailure {
    use rustls::Error as Rustls;
    let Some(cause) = error.get_ref().and_then(|cause| cause.downcast_ref::<Rustls>()) else {
        return Error::from_io(error, "read").into();
    };
    let told = || configuration(cause.to_string());
    match cause {
        Rustls::InvalidCertificate(CertificateError::Other(other)) => match other.0.downcast_ref::<Refusal>()
        {
            Some(Refusal { message, code }) => {
                Error::Tls { message: message.clone(), code: Some((*code).into()) }.into()
            }
            None => TlsFailure::Unserved(told()),
        },
        Rustls::InvalidCertificate(_) | Rustls::PeerIncompatible(_) => TlsFailure::Unserved(told()),
        Rustls::AlertReceived(
            AlertDescription::HandshakeFailure
            | AlertDescription::ProtocolVersion
            | AlertDescription::InsufficientSecurity,
        ) => TlsFailure::Unserved(Error::from_io(error, "read")),
        Rustls::AlertReceived(_) => Error::from_io(error, "read").into(),
        _ => told().into(),
    }
}

/// The certificate that the server has shown.
pub(super) fn server_certificate(stream: &TlsStream<Socket>) -> Option<&[u8]> {
    stream.get_ref().1.peer_certificates()?.first().map(AsRef::as_ref)
}

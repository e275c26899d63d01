//! TLS by rustls: pg's `ssl` options, errors in OpenSSL's words, and the hash that SCRAM binds to.
//!
//! Two rules of Node that rustls does not have are kept: a server certificate that is itself among the
//! trusted ones is accepted, and `rejectUnauthorized: false` accepts any certificate.

use std::sync::Arc;

use bytes::BytesMut;
use postgres_protocol::message::frontend;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    server::ParsedCertificate,
};
use sha2::{Digest, Sha256, Sha384, Sha512};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::{TlsConnector, client::TlsStream};
use x509_cert::{
    Certificate,
    der::{
        Decode,
        oid::{ObjectIdentifier, db::rfc5912 as oids},
    },
};

use super::{Error, TlsSettings, VerifyServer, socket::Socket};

/// `ecdsa-with-SHA1`, which the table of the library lacks.
const ECDSA_WITH_SHA_1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.1");

/// Encrypts a socket as the settings say.
pub(super) async fn secure(
    mut socket: Socket,
    host: &str,
    settings: &TlsSettings,
) -> Result<TlsStream<Socket>, Error> {
    if !settings.direct {
        let mut request = BytesMut::new();
        frontend::ssl_request(&mut request);
        socket.write_all(&request).await.map_err(|error| Error::from_io(&error, "write"))?;
        match socket.read_u8().await {
            Ok(b'S') => {}
            Ok(b'N') => return Err(Error::Plain("The server does not support SSL connections".into())),
            Ok(_) => {
                return Err(Error::Plain("There was an error establishing an SSL connection".into()));
            }
            Err(_) => return Err(Error::Lost),
        }
    }
    handshake(socket, host, settings).await
}

/// The TLS handshake on a socket.
async fn handshake(socket: Socket, host: &str, settings: &TlsSettings) -> Result<TlsStream<Socket>, Error> {
    let mut config = client_config(settings)?;
    if settings.direct {
        config.alpn_protocols = vec![b"postgresql".to_vec()];
    }
    let name = settings.server_name.as_deref().unwrap_or(host);
    let name = ServerName::try_from(name.to_owned())
        .map_err(|_| configuration(format!("'{name}' is not a name a certificate can carry")))?;
    TlsConnector::from(Arc::new(config)).connect(name, socket).await.map_err(|error| in_openssl_words(&error))
}

fn client_config(settings: &TlsSettings) -> Result<ClientConfig, Error> {
    let provider = Arc::new(ring::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = match settings.verify {
        VerifyServer::Full => Arc::new(Verifier::new(settings, &provider)?),
        VerifyServer::None => Arc::new(AcceptAny(Arc::clone(&provider))),
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

fn certificates(pem: &str, what: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(configuration(format!("the {what} is not a PEM certificate"))),
    }
}

fn configuration(message: impl Into<String>) -> Error {
    Error::Tls { message: message.into(), code: None }
}

/// The verifier of webpki, and the certificates that are trusted themselves.
#[derive(Debug)]
struct Verifier {
    chain: Arc<WebPkiServerVerifier>,
    trusted: Vec<CertificateDer<'static>>,
}

impl Verifier {
    fn new(settings: &TlsSettings, provider: &Arc<CryptoProvider>) -> Result<Self, Error> {
        let mut roots = RootCertStore::empty();
        let mut trusted = Vec::new();
        for pem in &settings.authorities {
            trusted.extend(certificates(pem, "certificate authority")?);
        }
        if trusted.is_empty() {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        } else {
            roots.add_parsable_certificates(trusted.iter().cloned());
        }
        let chain = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
            .build()
            .map_err(|error| configuration(format!("the certificate authorities cannot be used: {error}")))?;
        Ok(Self { chain, trusted })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.trusted.iter().any(|trusted| trusted == end_entity) {
            check_validity(end_entity, now)?;
            verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
            return Ok(ServerCertVerified::assertion());
        }
        let verified =
            self.chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        verified.map_err(|error| match error {
            rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
                rustls::Error::General(unknown_issuer(end_entity, intermediates).into())
            }
            error => error,
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

/// Checks the dates of a certificate that is trusted itself: webpki does not verify it.
fn check_validity(der: &CertificateDer<'_>, now: UnixTime) -> Result<(), rustls::Error> {
    let certificate = Certificate::from_der(der).map_err(|_| CertificateError::BadEncoding)?;
    let validity = certificate.tbs_certificate.validity;
    if now.as_secs() < validity.not_before.to_unix_duration().as_secs() {
        return Err(CertificateError::NotValidYet.into());
    }
    if now.as_secs() > validity.not_after.to_unix_duration().as_secs() {
        return Err(CertificateError::Expired.into());
    }
    Ok(())
}

/// The verifier of `rejectUnauthorized: false`. The signatures of the handshake are still checked.
#[derive(Debug)]
struct AcceptAny(Arc<CryptoProvider>);

impl ServerCertVerifier for AcceptAny {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

const SELF_SIGNED: &str = "self-signed certificate";
const SELF_SIGNED_IN_CHAIN: &str = "self-signed certificate in certificate chain";
const UNVERIFIED_LEAF: &str = "unable to verify the first certificate";

/// The message of OpenSSL where webpki only says that the issuer is unknown.
fn unknown_issuer(end_entity: &CertificateDer<'_>, intermediates: &[CertificateDer<'_>]) -> &'static str {
    let is_self_signed = |der: &CertificateDer<'_>| {
        Certificate::from_der(der).is_ok_and(|certificate| {
            certificate.tbs_certificate.issuer == certificate.tbs_certificate.subject
        })
    };
    if is_self_signed(end_entity) {
        SELF_SIGNED
    } else if intermediates.iter().any(is_self_signed) {
        SELF_SIGNED_IN_CHAIN
    } else {
        UNVERIFIED_LEAF
    }
}

fn in_openssl_words(error: &std::io::Error) -> Error {
    use rustls::Error as Rustls;
    let Some(cause) = error.get_ref().and_then(|cause| cause.downcast_ref::<Rustls>()) else {
        return Error::from_io(error, "read");
    };
    let (message, code) = match cause {
        Rustls::General(text) if text == SELF_SIGNED => (text.clone(), "DEPTH_ZERO_SELF_SIGNED_CERT"),
        Rustls::General(text) if text == SELF_SIGNED_IN_CHAIN => (text.clone(), "SELF_SIGNED_CERT_IN_CHAIN"),
        Rustls::General(text) if text == UNVERIFIED_LEAF => (text.clone(), "UNABLE_TO_VERIFY_LEAF_SIGNATURE"),
        Rustls::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            ("certificate has expired".into(), "CERT_HAS_EXPIRED")
        }
        Rustls::InvalidCertificate(
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
        ) => ("certificate is not yet valid".into(), "CERT_NOT_YET_VALID"),
        Rustls::InvalidCertificate(
            error @ (CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }),
        ) => (
            format!("Hostname/IP does not match certificate's altnames: {error}"),
            "ERR_TLS_CERT_ALTNAME_INVALID",
        ),
        other => return Error::Tls { message: other.to_string(), code: None },
    };
    Error::Tls { message, code: Some(code) }
}

/// The hash of the server's certificate that RFC 5929 calls `tls-server-end-point`.
pub(super) fn server_end_point(stream: &TlsStream<Socket>) -> Option<Vec<u8>> {
    let der = stream.get_ref().1.peer_certificates()?.first()?;
    let certificate = Certificate::from_der(der).ok()?;
    // SHA-256 takes the place of MD5 and SHA-1.
    Some(match certificate.signature_algorithm.oid {
        oids::SHA_384_WITH_RSA_ENCRYPTION | oids::ECDSA_WITH_SHA_384 => Sha384::digest(der).to_vec(),
        oids::SHA_512_WITH_RSA_ENCRYPTION | oids::ECDSA_WITH_SHA_512 => Sha512::digest(der).to_vec(),
        oids::MD_5_WITH_RSA_ENCRYPTION
        | oids::SHA_1_WITH_RSA_ENCRYPTION
        | oids::SHA_256_WITH_RSA_ENCRYPTION
        | ECDSA_WITH_SHA_1
        | oids::ECDSA_WITH_SHA_256 => Sha256::digest(der).to_vec(),
        _ => return None,
    })
}

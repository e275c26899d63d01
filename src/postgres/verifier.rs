//! The verifier of server certificates: webpki's chain, and OpenSSL's rules that webpki does not have.
//!
//! - A self-signed certificate that is trusted itself may be the server's.
//! - Of the trusted ones only a self-signed authority that is valid now ends a chain; others are links of it.
//!
//! A certificate that is refused for its name, its time or its issuer gets a [`Refusal`] in OpenSSL's words. Any other
//! error means that webpki does not know enough to judge.

use std::{fmt, net::IpAddr, sync::Arc};

use rustls::{
    CertificateError, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme,
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor, verify_server_name,
    },
    crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};
use x509_cert::{
    Certificate,
    der::{
        Decode,
        oid::{
            AssociatedOid, ObjectIdentifier,
            db::{rfc5280, rfc5912, rfc8410},
        },
    },
    ext::pkix::{
        AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages, SubjectAltName,
        SubjectKeyIdentifier, name::GeneralName,
    },
};

/// The extension in which Netscape wrote what a certificate is for, and OpenSSL still reads it.
const NETSCAPE_CERT_TYPE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.113730.1.1");

/// The signatures of certificates that webpki can check and OpenSSL accepts.
const SIGNATURES: [ObjectIdentifier; 6] = [
    rfc5912::SHA_256_WITH_RSA_ENCRYPTION,
    rfc5912::SHA_384_WITH_RSA_ENCRYPTION,
    rfc5912::SHA_512_WITH_RSA_ENCRYPTION,
    rfc5912::ECDSA_WITH_SHA_256,
    rfc5912::ECDSA_WITH_SHA_384,
    rfc8410::ID_ED_25519,
];

/// A modulus of 2048 bits; the key has its exponent besides.
const SMALLEST_RSA_BYTES: usize = 256;

/// A certificate that is not accepted, whoever looks at it.
#[derive(Debug)]
pub(super) struct Refusal {
    /// OpenSSL's words.
    pub(super) message: String,
    /// Node's code.
    pub(super) code: &'static str,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Refusal {}

fn refused(message: impl Into<String>, code: &'static str) -> rustls::Error {
    let refusal = Refusal { message: message.into(), code };
    CertificateError::Other(OtherError(Arc::new(refusal))).into()
}

fn expired() -> rustls::Error {
    refused("certificate has expired", "CERT_HAS_EXPIRED")
}

fn not_yet_valid() -> rustls::Error {
    refused("certificate is not yet valid", "CERT_NOT_YET_VALID")
}

/// Verifies chain, name and time.
#[derive(Debug)]
pub(super) struct Verifier {
    anchors: RootCertStore,
    /// Authorities that would be anchors at another time.
    expired: RootCertStore,
    premature: RootCertStore,
    /// Trusted certificates that others have signed.
    links: Vec<CertificateDer<'static>>,
    self_signed: Vec<CertificateDer<'static>>,
    /// Whether webpki cannot judge one of the trusted.
    has_unclear: bool,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Verifier {
    /// Trusts these certificates.
    pub(super) fn new(trusted: &[CertificateDer<'static>], algorithms: WebPkiSupportedAlgorithms) -> Self {
        let mut verifier = Self {
            anchors: RootCertStore::empty(),
            expired: RootCertStore::empty(),
            premature: RootCertStore::empty(),
            links: Vec::new(),
            self_signed: Vec::new(),
            has_unclear: false,
            algorithms,
        };
        let now = UnixTime::now();
        for der in trusted {
            verifier.trust(der, now);
        }
        verifier
    }

    /// Trusts the authorities of Mozilla's list, too.
    pub(super) fn with_usual_authorities(mut self) -> Self {
        self.anchors.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        self
    }

    fn trust(&mut self, der: &CertificateDer<'static>, now: UnixTime) {
        let is_known = ParsedCertificate::try_from(der).is_ok();
        let Some(certificate) = Certificate::from_der(der).ok().filter(|_| is_known) else {
            self.has_unclear = true;
            return;
        };
        if !is_self_signed(&certificate) {
            self.links.push(der.clone());
            return;
        }
        self.self_signed.push(der.clone());
        let store = match (authority(&certificate), time(&certificate, now)) {
            (Authority::Yes, Time::Valid) => &mut self.anchors,
            (Authority::Yes, Time::Expired) => &mut self.expired,
            (Authority::Yes, Time::Premature) => &mut self.premature,
            (Authority::No, _) => return,
            (Authority::Unclear, _) => {
                self.has_unclear = true;
                return;
            }
        };
        if store.add(der.clone()).is_err() {
            self.has_unclear = true;
        }
    }

    fn verify_chain(
        &self,
        end_entity: &CertificateDer<'_>,
        certificate: &Certificate,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        if self.self_signed.iter().any(|trusted| trusted == end_entity) {
            return match time(certificate, now) {
                Time::Valid => check_server_authentication(certificate),
                Time::Expired => Err(expired()),
                Time::Premature => Err(not_yet_valid()),
            };
        }
        if is_self_signed(certificate) {
            // An authority of the same name and key does not make up for it.
            return Err(match time(certificate, now) {
                Time::Expired => expired(),
                Time::Premature => not_yet_valid(),
                Time::Valid if is_usual(certificate) => unknown_issuer(certificate, &[], &[]),
                Time::Valid => CertificateError::UnknownIssuer.into(),
            });
        }
        let parsed = ParsedCertificate::try_from(end_entity)?;
        let links: Vec<_> = intermediates.iter().chain(&self.links).cloned().collect();
        let verify = |anchors| {
            verify_server_cert_signed_by_trust_anchor(&parsed, anchors, &links, now, self.algorithms.all)
        };
        match verify(&self.anchors) {
            Ok(()) => Ok(()),
            Err(rustls::Error::InvalidCertificate(error)) => Err(match error {
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => expired(),
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                    not_yet_valid()
                }
                CertificateError::UnknownIssuer if verify(&self.expired).is_ok() => expired(),
                CertificateError::UnknownIssuer if verify(&self.premature).is_ok() => not_yet_valid(),
                CertificateError::UnknownIssuer
                    if !self.is_unclear(intermediates) && is_usual(certificate) =>
                {
                    unknown_issuer(certificate, intermediates, &self.links)
                }
                error => error.into(),
            }),
            Err(error) => Err(error),
        }
    }

    /// Whether an issuer that webpki does not find may be one that it cannot read.
    fn is_unclear(&self, intermediates: &[CertificateDer<'_>]) -> bool {
        self.has_unclear || intermediates.iter().any(|der| ParsedCertificate::try_from(der).is_err())
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let parsed = ParsedCertificate::try_from(end_entity)?;
        let certificate = Certificate::from_der(end_entity).map_err(|_| CertificateError::BadEncoding)?;
        self.verify_chain(end_entity, &certificate, intermediates, now)?;
        check_key_usage(&certificate)?;
        verify_server_name(&parsed, server_name)
            .map_err(|error| name_refusal(&certificate, server_name).unwrap_or(error))?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// The verifier of `rejectUnauthorized: false`. The signatures of the handshake are still checked.
#[derive(Debug)]
pub(super) struct AcceptAny(pub(super) WebPkiSupportedAlgorithms);

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
        verify_tls12_signature(message, certificate, signature, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

/// As OpenSSL sees it: issuer and subject are one, and no identifiers of keys tell them apart.
fn is_self_signed(certificate: &Certificate) -> bool {
    let Certificate { tbs_certificate, .. } = certificate;
    let issuer_key = match extension::<AuthorityKeyIdentifier>(certificate) {
        Found(issuer) => issuer.key_identifier,
        Absent | Unreadable => None,
    };
    let is_other_key = match (issuer_key, extension::<SubjectKeyIdentifier>(certificate)) {
        (Some(issuer), Found(subject)) => issuer != subject.0,
        _ => false,
    };
    tbs_certificate.issuer == tbs_certificate.subject && !is_other_key
}

/// Whether OpenSSL would find nothing to complain of but the issuer. It tells the worst.
fn is_usual(certificate: &Certificate) -> bool {
    SIGNATURES.contains(&certificate.signature_algorithm.oid)
        && !is_weak(certificate)
        && check_key_usage(certificate).is_ok()
        && check_server_authentication(certificate).is_ok()
}

/// Whether its key is one of RSA that webpki does not take, and later versions of OpenSSL complain of.
fn is_weak(certificate: &Certificate) -> bool {
    let key = &certificate.tbs_certificate.subject_public_key_info;
    key.algorithm.oid == rfc5912::RSA_ENCRYPTION
        && key.subject_public_key.raw_bytes().len() < SMALLEST_RSA_BYTES
}

enum Time {
    Valid,
    Expired,
    Premature,
}

fn time(certificate: &Certificate, now: UnixTime) -> Time {
    let validity = &certificate.tbs_certificate.validity;
    if now.as_secs() < validity.not_before.to_unix_duration().as_secs() {
        Time::Premature
    } else if now.as_secs() > validity.not_after.to_unix_duration().as_secs() {
        Time::Expired
    } else {
        Time::Valid
    }
}

/// Whether a self-signed certificate may sign others.
enum Authority {
    Yes,
    No,
    Unclear,
}

fn authority(certificate: &Certificate) -> Authority {
    let extensions = certificate.tbs_certificate.extensions.iter().flatten();
    let is_known =
        |oid| [BasicConstraints::OID, KeyUsage::OID, rfc5280::ID_CE_SUBJECT_KEY_IDENTIFIER].contains(&oid);
    if extensions.into_iter().any(|extension| extension.critical && !is_known(extension.extn_id)) {
        return Authority::Unclear;
    }
    match (extension::<BasicConstraints>(certificate), extension::<KeyUsage>(certificate)) {
        (Found(BasicConstraints { ca: false, .. }), _) => Authority::No,
        (Found(_), Absent) => Authority::Yes,
        (Found(_), Found(usage)) if usage.0.contains(KeyUsages::KeyCertSign) => Authority::Yes,
        _ => Authority::Unclear,
    }
}

/// An extension of a certificate.
enum Extension<T> {
    Absent,
    Found(T),
    Unreadable,
}

use Extension::{Absent, Found, Unreadable};

fn extension<'a, T: Decode<'a> + AssociatedOid>(certificate: &'a Certificate) -> Extension<T> {
    match certificate.tbs_certificate.get::<T>() {
        Ok(None) => Absent,
        Ok(Some((_, value))) => Found(value),
        Err(_) => Unreadable,
    }
}

/// What OpenSSL asks of the key of a server, and webpki does not.
fn check_key_usage(certificate: &Certificate) -> Result<(), rustls::Error> {
    let mut extensions = certificate.tbs_certificate.extensions.iter().flatten();
    let serves = KeyUsages::DigitalSignature | KeyUsages::KeyEncipherment | KeyUsages::KeyAgreement;
    let is_fine = match extension::<KeyUsage>(certificate) {
        Absent => true,
        Found(usage) => !(usage.0 & serves).is_empty(),
        Unreadable => false,
    };
    if is_fine && !extensions.any(|extension| extension.extn_id == NETSCAPE_CERT_TYPE) {
        return Ok(());
    }
    Err(CertificateError::InvalidPurpose.into())
}

/// What webpki asks of a certificate that it verifies: one that is trusted itself it does not see.
fn check_server_authentication(certificate: &Certificate) -> Result<(), rustls::Error> {
    let extensions = certificate.tbs_certificate.extensions.iter().flatten();
    let is_known = |oid| {
        [BasicConstraints::OID, KeyUsage::OID, ExtendedKeyUsage::OID, SubjectAltName::OID].contains(&oid)
    };
    if extensions.into_iter().any(|extension| extension.critical && !is_known(extension.extn_id)) {
        return Err(CertificateError::UnhandledCriticalExtension.into());
    }
    match extension::<ExtendedKeyUsage>(certificate) {
        Absent => Ok(()),
        Found(usage) if usage.0.contains(&rfc5280::ID_KP_SERVER_AUTH) => Ok(()),
        _ => Err(CertificateError::InvalidPurpose.into()),
    }
}

/// The words of OpenSSL where webpki only says that the issuer is unknown: they tell where the chain ends.
fn unknown_issuer(
    certificate: &Certificate,
    intermediates: &[CertificateDer<'_>],
    links: &[CertificateDer<'_>],
) -> rustls::Error {
    let parsed = |der: &CertificateDer<'_>| Certificate::from_der(der).ok();
    let sent: Vec<_> = intermediates.iter().filter_map(parsed).collect();
    let trusted: Vec<_> = links.iter().filter_map(parsed).collect();
    let mut last = certificate;
    let mut depth = 0;
    let mut has_trusted = false;
    // Certificates that name each other make a circle.
    while !is_self_signed(last) && depth <= sent.len() + trusted.len() {
        let issuer = &last.tbs_certificate.issuer;
        let is_issuer = |one: &&Certificate| one.tbs_certificate.subject == *issuer;
        let trusted = trusted.iter().find(is_issuer);
        let Some(next) = trusted.or_else(|| sent.iter().find(is_issuer)) else { break };
        has_trusted |= trusted.is_some();
        depth += 1;
        last = next;
    }
    let (message, code) = match (is_self_signed(last), depth, has_trusted) {
        (true, 0, _) => ("self-signed certificate", "DEPTH_ZERO_SELF_SIGNED_CERT"),
        (true, ..) => ("self-signed certificate in certificate chain", "SELF_SIGNED_CERT_IN_CHAIN"),
        (false, 0, _) => ("unable to verify the first certificate", "UNABLE_TO_VERIFY_LEAF_SIGNATURE"),
        (false, _, true) => ("unable to get issuer certificate", "UNABLE_TO_GET_ISSUER_CERT"),
        (false, ..) => ("unable to get local issuer certificate", "UNABLE_TO_GET_ISSUER_CERT_LOCALLY"),
    };
    refused(message, code)
}

/// The words of Node for a certificate of other names; none: Node may find the name where webpki does not look (the
/// common name, a `*` inside a label).
fn name_refusal(certificate: &Certificate, server_name: &ServerName<'_>) -> Option<rustls::Error> {
    let Found(SubjectAltName(names)) = extension(certificate) else { return None };
    let hosts = names.iter().filter_map(|name| match name {
        GeneralName::DnsName(host) => Some(host.as_str()),
        _ => None,
    });
    let addresses = names.iter().filter_map(|name| match name {
        GeneralName::IpAddress(bytes) => ip_address(bytes.as_bytes()),
        _ => None,
    });
    let reason = match server_name {
        ServerName::IpAddress(ip) => {
            let addresses: Vec<_> = addresses.map(|address| address.to_string()).collect();
            let ip = IpAddr::from(*ip);
            format!("IP: {ip} is not in the cert's list: {}", addresses.join(", "))
        }
        ServerName::DnsName(host) => {
            let hosts: Vec<_> = hosts.collect();
            let is_partial = |host: &&str| host.contains('*') && !host.starts_with("*.");
            if hosts.is_empty() || hosts.iter().any(is_partial) {
                return None;
            }
            let hosts = hosts.iter().map(|host| format!("DNS:{host}"));
            let addresses = addresses.map(|address| format!("IP Address:{}", in_full(address)));
            let all: Vec<_> = hosts.chain(addresses).collect();
            format!("Host: {}. is not in the cert's altnames: {}", host.as_ref(), all.join(", "))
        }
        _ => return None,
    };
    Some(refused(
        format!("Hostname/IP does not match certificate's altnames: {reason}"),
        "ERR_TLS_CERT_ALTNAME_INVALID",
    ))
}

fn ip_address(bytes: &[u8]) -> Option<IpAddr> {
    let four = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    four.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

/// An address as OpenSSL writes it.
fn in_full(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => address.segments().map(|part| format!("{part:X}")).join(":"),
    }
}

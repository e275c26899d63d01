//! The hash of a server's certificate that SCRAM binds to (RFC 5929, `tls-server-end-point`). Where there is none,
//! the login fails: it is never bound less than was asked for.

use sha2::{Digest, Sha224, Sha256, Sha384, Sha512, Sha512_224, Sha512_256};
use x509_cert::{
    der::{
        Decode, Reader, SliceReader, TagNumber,
        asn1::{AnyRef, ContextSpecific},
        oid::{ObjectIdentifier, db::rfc5912 as oids, db::rfc8410},
    },
    spki::AlgorithmIdentifierRef,
};

/// `ecdsa-with-SHA1`, which the table of the library lacks; so are the next three.
const ECDSA_WITH_SHA_1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.1");
const SHA_512_224_WITH_RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.15");
const SHA_512_256_WITH_RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.16");
const MD_5: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.2.5");

/// The hash of a certificate, by the algorithm of its signature. The error says why there is none.
pub(super) fn server_end_point(certificate: &[u8]) -> Result<Vec<u8>, String> {
    let hash = signature_algorithm(certificate).map_err(|_| failed("bad encoding"))?;
    // SHA-256 takes the place of MD5 and SHA-1.
    Ok(match hash {
        oids::SHA_1_WITH_RSA_ENCRYPTION
        | oids::MD_5_WITH_RSA_ENCRYPTION
        | oids::SHA_256_WITH_RSA_ENCRYPTION
        | oids::ECDSA_WITH_SHA_256
        | oids::ID_SHA_1
        | oids::ID_SHA_256
        | MD_5
        | ECDSA_WITH_SHA_1 => Sha256::digest(certificate).to_vec(),
        oids::SHA_224_WITH_RSA_ENCRYPTION | oids::ECDSA_WITH_SHA_224 | oids::ID_SHA_224 => {
            Sha224::digest(certificate).to_vec()
        }
        oids::SHA_384_WITH_RSA_ENCRYPTION | oids::ECDSA_WITH_SHA_384 | oids::ID_SHA_384 => {
            Sha384::digest(certificate).to_vec()
        }
        // That of Ed25519 is part of the algorithm.
        oids::SHA_512_WITH_RSA_ENCRYPTION
        | oids::ECDSA_WITH_SHA_512
        | oids::ID_SHA_512
        | rfc8410::ID_ED_25519 => Sha512::digest(certificate).to_vec(),
        SHA_512_224_WITH_RSA => Sha512_224::digest(certificate).to_vec(),
        SHA_512_256_WITH_RSA => Sha512_256::digest(certificate).to_vec(),
        other => return Err(failed(&format!("unknown OID {other}"))),
    })
}

fn failed(reason: &str) -> String {
    format!("SASL channel binding: {reason} when parsing public certificate")
}

/// The algorithm of a certificate's signature; of RSASSA-PSS that of its hash. Nothing else is looked at, so that
/// certificates of any version will do.
fn signature_algorithm(certificate: &[u8]) -> x509_cert::der::Result<ObjectIdentifier> {
    SliceReader::new(certificate)?.sequence(|reader| {
        AnyRef::decode(reader)?;
        let algorithm = AlgorithmIdentifierRef::decode(reader)?;
        AnyRef::decode(reader)?;
        match algorithm.parameters {
            Some(parameters) if algorithm.oid == oids::ID_RSASSA_PSS => hash_of_pss(parameters),
            _ => Ok(algorithm.oid),
        }
    })
}

fn hash_of_pss(parameters: AnyRef<'_>) -> x509_cert::der::Result<ObjectIdentifier> {
    parameters.sequence(|reader| {
        let hash = ContextSpecific::<AlgorithmIdentifierRef<'_>>::decode_explicit(reader, TagNumber::N0)?;
        while !reader.is_finished() {
            AnyRef::decode(reader)?;
        }
        Ok(hash.map_or(oids::ID_SHA_1, |hash| hash.value.oid))
    })
}

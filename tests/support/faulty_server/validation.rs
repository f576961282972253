//! Challenges, looked at from outside as a CA does.

use std::io::{self, Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme};
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::oid_registry::asn1_rs::oid;

use super::super::faulty_ca::Validation;

/// Let's Encrypt waits ten seconds for each.
const PATIENCE: Duration = Duration::from_secs(10);

/// For the answer to an http-01 request, headers and all; the key authorisation is below a hundred bytes.
const MAX_ANSWER: u64 = 16 * 1024;

fn connect(name: &str, port: u16) -> Result<TcpStream, String> {
    let addresses = (name, port).to_socket_addrs().map_err(|error| format!("no address for {name}: {error}"))?;
    let mut failed = format!("no address for {name}");
    for address in addresses {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => {
                let patient =
                    stream.set_read_timeout(Some(PATIENCE)).and_then(|()| stream.set_write_timeout(Some(PATIENCE)));
                return patient.map(|()| stream).map_err(|error| error.to_string());
            }
            Err(error) => failed = format!("{address}: {error}"),
        }
    }
    Err(failed)
}

/// RFC 8555 §8.3. Redirects are not followed: the proxy under test answers where it is asked.
pub(super) fn http_01(challenge: &Validation, port: u16) -> Result<(), String> {
    let Validation { identifier, token, key_authorization, .. } = challenge;
    let mut stream = connect(identifier, port)?;
    let request = format!(
        "GET /.well-known/acme-challenge/{token} HTTP/1.1\r\nHost: {identifier}\r\nConnection: close\r\n\
         User-Agent: faulty-ca\r\nAccept: */*\r\n\r\n"
    );
    let answer = stream.write_all(request.as_bytes()).and_then(|()| read_answer(stream));
    let answer = answer.map_err(|error| format!("http://{identifier}:{port}: {error}"))?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| format!("no HTTP: {answer:?}"))?;
    if !head.starts_with("HTTP/1.1 200 ") {
        return Err(format!("not 200: {head:?}"));
    }
    if body.trim_end() != key_authorization {
        return Err(format!("the key authorization is {key_authorization:?}, not {body:?}"));
    }
    Ok(())
}

/// Head and body, which ends where `Content-Length` says or with the connection.
fn read_answer(stream: TcpStream) -> io::Result<String> {
    let mut stream = stream.take(MAX_ANSWER);
    let mut answer = String::new();
    let mut buffer = [0; 1024];
    loop {
        let whole = answer.split_once("\r\n\r\n").is_some_and(|(head, body)| {
            let fields = head.lines().filter_map(|line| line.split_once(':'));
            let mut lengths = fields.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
            lengths.next().is_some_and(|(_, length)| length.trim().parse() == Ok(body.len()))
        });
        if whole {
            return Ok(answer);
        }
        match stream.read(&mut buffer)? {
            0 => return Ok(answer),
            count => answer.push_str(&String::from_utf8_lossy(&buffer[..count])),
        }
    }
}

/// RFC 8737 §3.
pub(super) fn tls_alpn_01(challenge: &Validation, port: u16) -> Result<(), String> {
    let name = &challenge.identifier;
    let mut stream = connect(name, port)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = Arc::new(Anybody(provider.signature_verification_algorithms));
    let mut config =
        client_config(provider).dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    config.alpn_protocols = vec![b"acme-tls/1".to_vec()];
    let server = ServerName::try_from(name.clone()).map_err(|error| error.to_string())?;
    let mut tls = ClientConnection::new(Arc::new(config), server).map_err(|error| error.to_string())?;
    let handshake = |error: io::Error| format!("{name}:{port}: {error}");
    while tls.is_handshaking() {
        tls.complete_io(&mut stream).map_err(handshake)?;
    }
    if tls.alpn_protocol() != Some(b"acme-tls/1") {
        return Err("acme-tls/1 was not agreed on".to_owned());
    }
    let leaf = tls.peer_certificates().and_then(|chain| chain.first()).ok_or("no certificate")?;
    let (_, leaf) = x509_parser::parse_x509_certificate(leaf).map_err(|error| error.to_string())?;
    let mut named = false;
    let mut proved = false;
    for extension in leaf.extensions() {
        if let ParsedExtension::SubjectAlternativeName(names) = extension.parsed_extension() {
            named = matches!(names.general_names[..], [GeneralName::DNSName(only)] if only.eq_ignore_ascii_case(name));
        }
        if extension.oid == oid!(1.3.6.1.5.5.7.1.31) {
            let expected = [&[0x04, 0x20][..], &challenge.digest()].concat();
            proved = extension.critical && extension.value == expected;
        }
    }
    match (named, proved) {
        (true, true) => Ok(()),
        (false, _) => Err(format!("the certificate is not for {name} alone")),
        (_, false) => Err("the certificate has no critical acmeIdentifier with the right digest".to_owned()),
    }
}

fn client_config(provider: Arc<CryptoProvider>) -> rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier> {
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    config.expect("the provider's versions")
}

/// The certificate signs itself; what it says is looked at afterwards. Only that its key takes part is proved here,
/// and by hand: webpki reads no certificate with a critical extension that it does not know.
#[derive(Debug)]
struct Anybody(WebPkiSupportedAlgorithms);

impl Anybody {
    fn verify(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let bad = |error: rustls::CertificateError| rustls::Error::InvalidCertificate(error);
        let parsed = x509_parser::parse_x509_certificate(certificate);
        let (_, parsed) = parsed.map_err(|_| bad(rustls::CertificateError::BadEncoding))?;
        let key = &parsed.public_key().subject_public_key.data;
        let schemes = self.0.mapping.iter().filter(|(scheme, _)| *scheme == signature.scheme);
        let mut algorithms = schemes.flat_map(|(_, algorithms)| algorithms.iter());
        let good = algorithms.any(|algorithm| algorithm.verify_signature(key, message, signature.signature()).is_ok());
        good.then(HandshakeSignatureValid::assertion).ok_or_else(|| bad(rustls::CertificateError::BadSignature))
    }
}

impl ServerCertVerifier for Anybody {
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
        self.verify(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verify(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

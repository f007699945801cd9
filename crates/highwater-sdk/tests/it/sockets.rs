//! The native transport on real sockets: what it says, what it counts, and how
//! it names what fails.

use bytes::Bytes;
use futures::executor::block_on;
use highwater_protocol::codec::{Format, ZSTD_DICTIONARY};
use highwater_protocol::wire;
use highwater_sdk::driver::TransportError;
use highwater_sdk::{Client, Compression, Error, NativeConfig, SyncReport};
use std::collections::VecDeque;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;
use tempfile::{TempDir, tempdir};

/// What the server does with a request.
#[derive(Clone)]
enum Reply {
    /// Answers, and goes on with the connection.
    Send(Vec<u8>),
    /// Answers, and closes the connection.
    SendAndClose(Vec<u8>),
    /// Says nothing.
    Silence,
}

/// A request as it came.
#[derive(Debug)]
struct Heard {
    head: String,
    body: Vec<u8>,
    /// Which connection it came on, from 0.
    connection: usize,
}

/// A server that reads requests and replies from a script.
struct Scripted {
    address: String,
    heard: Receiver<Heard>,
    /// Bytes read and written on all its sockets.
    carried: Arc<Mutex<(u64, u64)>>,
    _thread: JoinHandle<()>,
}

fn head(status: &str, headers: &str, length: usize) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\n\r\n").into_bytes()
}

const PROTOBUF: &str = "content-type: application/x-protobuf\r\n";

/// An answer with a body, whatever its coding.
fn answer(coding: &str, body: &[u8]) -> Vec<u8> {
    let headers = match coding {
        "" => PROTOBUF.to_owned(),
        coding => format!("{PROTOBUF}content-encoding: {coding}\r\n"),
    };
    let mut answer = head("200 OK", &headers, body.len());
    answer.extend_from_slice(body);
    answer
}

/// "All lists are aligned", for a client that holds one.
fn aligned() -> Bytes {
    let response = wire::SyncResponse {
        receipts: false,
        aligned: 0,
        answers: vec![wire::ListAnswer {
            list: 0,
            answer: Some(wire::list_answer::Answer::Gone(wire::Gone::default())),
            details: Vec::new(),
        }],
    };
    Format::Protobuf.encode(&response)
}

fn scripted(script: Vec<Reply>) -> Scripted {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (tell, heard) = channel();
    let carried = Arc::new(Mutex::new((0, 0)));
    let counter = Arc::clone(&carried);
    let thread = std::thread::spawn(move || {
        let mut script = VecDeque::from(script);
        for (connection, socket) in listener.incoming().enumerate() {
            serve(socket.unwrap(), connection, &mut script, &tell, &counter);
        }
    });
    Scripted {
        address,
        heard,
        carried,
        _thread: thread,
    }
}

fn serve(
    mut socket: TcpStream,
    connection: usize,
    script: &mut VecDeque<Reply>,
    tell: &Sender<Heard>,
    carried: &Mutex<(u64, u64)>,
) {
    let mut read = Vec::new();
    loop {
        let Some(heard) = read_request(&mut socket, &mut read, connection, carried) else {
            return;
        };
        let _ = tell.send(heard);
        let reply = script.pop_front().unwrap_or(Reply::Silence);
        let (bytes, closes) = match reply {
            Reply::Send(bytes) => (bytes, false),
            Reply::SendAndClose(bytes) => (bytes, true),
            Reply::Silence => continue,
        };
        // Counted before it can have an effect.
        carried.lock().unwrap().1 += bytes.len() as u64;
        socket.write_all(&bytes).unwrap();
        if closes {
            let _ = socket.shutdown(Shutdown::Both);
            return;
        }
    }
}

fn read_request(
    socket: &mut TcpStream,
    read: &mut Vec<u8>,
    connection: usize,
    carried: &Mutex<(u64, u64)>,
) -> Option<Heard> {
    let mut buffer = [0; 4_096];
    loop {
        if let Some(end) = read.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            let head = String::from_utf8(read[..end].to_vec())
                .unwrap()
                .to_lowercase();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .map_or(0, |length| length.parse::<usize>().unwrap());
            let whole = end + 4 + length;
            if read.len() >= whole {
                let body = read[end + 4..whole].to_vec();
                read.drain(..whole);
                return Some(Heard {
                    head,
                    body,
                    connection,
                });
            }
        }
        match socket.read(&mut buffer) {
            Ok(0) | Err(_) => return None,
            Ok(count) => {
                carried.lock().unwrap().0 += count as u64;
                read.extend_from_slice(&buffer[..count]);
            }
        }
    }
}

/// A client with one list at a server's address.
fn client_at(url: &str, path: &Path, config: NativeConfig) -> Client {
    let client = Client::builder()
        .server(url)
        .user("u1")
        .token("secret")
        .database(path)
        .native(config);
    let client = block_on(client.build()).unwrap();
    client.groups().unwrap();
    client
}

struct Setup {
    _folder: TempDir,
    server: Scripted,
    client: Client,
}

fn setup_with(script: Vec<Reply>, configure: impl FnOnce(&mut NativeConfig)) -> Setup {
    let folder = tempdir().unwrap();
    let server = scripted(script);
    let mut config = NativeConfig::default();
    configure(&mut config);
    let url = format!("http://{}", server.address);
    let client = client_at(&url, &folder.path().join("db"), config);
    Setup {
        _folder: folder,
        server,
        client,
    }
}

fn setup(script: Vec<Reply>) -> Setup {
    setup_with(script, |_| {})
}

impl Setup {
    /// Opens the list again, which the server always says is gone, and syncs.
    fn sync(&self) -> Result<SyncReport, Error> {
        self.client.groups().unwrap();
        block_on(self.client.sync())
    }

    fn unreachable(&self) -> TransportError {
        match self.sync() {
            Err(Error::Unreachable(error)) => error,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_request_has_few_headers_and_its_bytes_are_counted_exactly() {
    let setup = setup(vec![Reply::Send(answer("", &aligned())); 2]);
    setup.sync().unwrap();
    let heard = setup.server.heard.recv().unwrap();
    let mut lines: Vec<_> = heard.head.lines().collect();
    assert_eq!(lines.remove(0), "post /v1/sync http/1.1");
    lines.sort_unstable();
    let length = format!("content-length: {}", heard.body.len());
    let host = format!("host: {}", setup.server.address);
    assert_eq!(
        lines,
        [
            "accept-encoding: hw1, zstd, gzip",
            "authorization: bearer secret",
            &length,
            "content-type: application/x-protobuf",
            &host,
        ]
    );
    let (read, written) = *setup.server.carried.lock().unwrap();
    let traffic = setup.client.traffic();
    assert_eq!(
        (traffic.bytes_sent, traffic.bytes_received),
        (read, written)
    );
    assert_eq!(traffic.requests, 1);

    // The connection is kept, and counted on.
    setup.sync().unwrap();
    assert_eq!(setup.server.heard.recv().unwrap().connection, 0);
    let (read, written) = *setup.server.carried.lock().unwrap();
    let traffic = setup.client.traffic();
    assert_eq!(
        (traffic.bytes_sent, traffic.bytes_received),
        (read, written)
    );
    assert_eq!(traffic.requests, 2);
}

#[test]
fn compression_can_be_turned_off() {
    let configure = |config: &mut NativeConfig| config.compression = Compression::None;
    let setup = setup_with(vec![Reply::Send(answer("", &aligned()))], configure);
    setup.sync().unwrap();
    let heard = setup.server.heard.recv().unwrap();
    assert!(!heard.head.contains("accept-encoding"), "{}", heard.head);
}

#[test]
fn answers_come_in_every_coding_that_was_offered() {
    let body = aligned();
    let gzip = {
        let level = flate2::Compression::default();
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
        encoder.write_all(&body).unwrap();
        encoder.finish().unwrap()
    };
    let zstd = zstd::bulk::compress(&body, 3).unwrap();
    let hw1 = zstd::bulk::Compressor::with_dictionary(3, ZSTD_DICTIONARY)
        .unwrap()
        .compress(&body)
        .unwrap();
    let script = [("gzip", gzip), ("zstd", zstd), ("hw1", hw1)]
        .iter()
        .map(|(coding, body)| Reply::Send(answer(coding, body)))
        .collect();
    let setup = setup(script);
    for _ in 0..3 {
        assert_eq!(setup.sync().unwrap().gone.len(), 1);
    }
}

/// Enough lists that the request is worth compressing.
fn hold_many(client: &Client) -> usize {
    for at in 0..200 {
        client.members(&format!("group-number-{at}")).unwrap();
    }
    client.lists().len()
}

fn all_gone(lists: usize) -> Bytes {
    let gone = |list| wire::ListAnswer {
        list,
        answer: Some(wire::list_answer::Answer::Gone(wire::Gone::default())),
        details: Vec::new(),
    };
    let response = wire::SyncResponse {
        receipts: false,
        aligned: 0,
        answers: (0..u32::try_from(lists).unwrap()).map(gone).collect(),
    };
    Format::Protobuf.encode(&response)
}

#[test]
fn a_long_request_is_compressed_unless_the_server_cannot_read_it() {
    let refusal = Format::Protobuf.encode(&wire::Error {
        code: "unsupported_encoding".to_owned(),
        ..wire::Error::default()
    });
    let mut refused = head("415 Unsupported Media Type", PROTOBUF, refusal.len());
    refused.extend_from_slice(&refusal);
    let accepted = Reply::Send(answer("", &all_gone(201)));
    let setup = setup(vec![accepted.clone(), Reply::Send(refused), accepted]);
    assert_eq!(hold_many(&setup.client), 201);
    assert_eq!(setup.sync().unwrap().gone.len(), 201);
    let heard = setup.server.heard.recv().unwrap();
    assert!(
        heard.head.contains("content-encoding: hw1"),
        "{}",
        heard.head
    );
    let mut decoder =
        zstd::stream::read::Decoder::with_dictionary(&*heard.body, ZSTD_DICTIONARY).unwrap();
    let mut body = Vec::new();
    decoder.read_to_end(&mut body).unwrap();
    let request: wire::SyncRequest = Format::Protobuf.decode(body.into()).unwrap();
    assert_eq!(request.lists.len(), 201);

    hold_many(&setup.client);
    assert_eq!(setup.sync().unwrap().gone.len(), 201);
    assert!(
        setup
            .server
            .heard
            .recv()
            .unwrap()
            .head
            .contains("content-encoding")
    );
    let plain = setup.server.heard.recv().unwrap();
    assert!(!plain.head.contains("content-encoding"), "{}", plain.head);
    let request: wire::SyncRequest = Format::Protobuf.decode(plain.body.into()).unwrap();
    assert_eq!(request.lists.len(), 201);
}

#[test]
fn a_connection_that_the_server_closed_is_replaced_unnoticed() {
    let setup = setup(vec![
        Reply::SendAndClose(answer("", &aligned())),
        Reply::Send(answer("", &aligned())),
    ]);
    setup.sync().unwrap();
    setup.sync().unwrap();
    let connections: Vec<_> = setup
        .server
        .heard
        .try_iter()
        .map(|heard| heard.connection)
        .collect();
    assert_eq!(connections, [0, 1]);
}

#[test]
fn an_answer_that_is_cut_short_is_one_and_nothing_of_it_is_applied() {
    let whole = answer("", &aligned());
    let setup = setup(vec![
        // In the body, in the head, before it.
        Reply::SendAndClose(whole[..whole.len() - 1].to_vec()),
        Reply::SendAndClose(whole[..20].to_vec()),
        Reply::SendAndClose(Vec::new()),
        Reply::Send(whole),
    ]);
    for _ in 0..3 {
        let error = setup.unreachable();
        assert!(matches!(error, TransportError::CutShort(_)), "{error}");
    }
    assert_eq!(setup.sync().unwrap().gone.len(), 1);
}

#[test]
fn a_server_that_does_not_answer_or_is_not_there_is_named() {
    let configure =
        |config: &mut NativeConfig| config.response_timeout = Duration::from_millis(150);
    let part = answer("", &aligned())[..60].to_vec();
    let setup = setup_with(vec![Reply::Silence, Reply::Send(part)], configure);
    let waited_ms = 150;
    assert_eq!(setup.unreachable(), TransportError::Timeout { waited_ms });

    let folder = tempdir().unwrap();
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let url = format!("http://{free}");
    let client = client_at(&url, &folder.path().join("db"), NativeConfig::default());
    let error = block_on(client.sync()).unwrap_err();
    assert!(error.to_string().contains(&free.to_string()), "{error}");
    assert!(matches!(
        error,
        Error::Unreachable(TransportError::Connect { .. })
    ));
}

#[test]
fn an_answer_that_is_too_long_is_not_taken_nor_unpacked() {
    let configure = |config: &mut NativeConfig| config.response_bytes_max = 1_000;
    let long = vec![0; 1_001];
    let bomb = zstd::bulk::compress(&vec![0; 10_000_000], 3).unwrap();
    let script = vec![
        Reply::SendAndClose(answer("", &long)),
        Reply::SendAndClose(answer("zstd", &bomb)),
    ];
    let setup = setup_with(script, configure);
    let limit = 1_000;
    assert_eq!(setup.unreachable(), TransportError::TooLarge { limit });
    assert_eq!(setup.unreachable(), TransportError::TooLarge { limit });
}

#[test]
fn what_is_not_this_protocol_is_named() {
    let setup = setup(vec![
        Reply::SendAndClose(b"SSH-2.0-OpenSSH_9.2\r\n\r\n".to_vec()),
        Reply::SendAndClose(answer("br", b"?")),
        Reply::SendAndClose(answer("gzip", b"no gzip")),
    ]);
    for why in ["invalid HTTP", "\"br\"", "gzip"] {
        let error = setup.unreachable();
        assert!(
            matches!(error, TransportError::Unintelligible(_)),
            "{error}"
        );
        assert!(error.to_string().contains(why), "{error}");
    }
}

/// Forwards bytes both ways and counts them: what is on the wire, under TLS.
fn counting_proxy(to: String) -> (String, Arc<Mutex<(u64, u64)>>) {
    fn pump(mut from: TcpStream, mut to: TcpStream, count: impl Fn(u64) + Send + 'static) {
        std::thread::spawn(move || {
            let mut buffer = [0; 4_096];
            while let Ok(read @ 1..) = from.read(&mut buffer) {
                // Counted before it can have an effect.
                count(read as u64);
                if to.write_all(&buffer[..read]).is_err() {
                    return;
                }
            }
            let _ = to.shutdown(Shutdown::Write);
        });
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let carried = Arc::new(Mutex::new((0, 0)));
    let counter = Arc::clone(&carried);
    std::thread::spawn(move || {
        for device in listener.incoming() {
            let device = device.unwrap();
            let server = TcpStream::connect(&to).unwrap();
            let (up, down) = (Arc::clone(&counter), Arc::clone(&counter));
            let clones = (device.try_clone().unwrap(), server.try_clone().unwrap());
            pump(clones.0, clones.1, move |count| {
                up.lock().unwrap().0 += count;
            });
            pump(server, device, move |count| down.lock().unwrap().1 += count);
        }
    });
    (format!("localhost:{port}"), carried)
}

/// Terminates TLS before a server that speaks plainly.
fn tls_front(to: String) -> (String, Vec<u8>) {
    use tokio_rustls::rustls::{ServerConfig, crypto};
    let certified = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let der = certified.cert.der().clone();
    let key = certified.signing_key.serialize_der().try_into().unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![der.clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.unwrap().block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((socket, _)) = listener.accept().await {
                let (acceptor, to) = (acceptor.clone(), to.clone());
                tokio::spawn(async move {
                    if let Ok(mut tls) = acceptor.accept(socket).await {
                        let mut plain = tokio::net::TcpStream::connect(to).await.unwrap();
                        let _ = tokio::io::copy_bidirectional(&mut tls, &mut plain).await;
                    }
                });
            }
        });
    });
    (address, der.to_vec())
}

#[test]
fn tls_is_spoken_with_authorities_that_are_trusted_and_counted_below() {
    let server = scripted(vec![Reply::Send(answer("", &aligned())); 2]);
    let (front, certificate) = tls_front(server.address);
    let folder = tempdir().unwrap();
    let (_, port) = front.rsplit_once(':').unwrap();
    let url = format!("https://localhost:{port}");
    let stranger = client_at(
        &url,
        &folder.path().join("stranger"),
        NativeConfig::default(),
    );
    let error = block_on(stranger.sync()).unwrap_err();
    assert!(error.to_string().contains("TLS"), "{error}");
    stranger.close();

    let (proxy, carried) = counting_proxy(front);
    let url = format!("https://{proxy}");
    let mut config = NativeConfig::default();
    config.root_certificates.push(certificate);
    let client = client_at(&url, &folder.path().join("db"), config);
    assert_eq!(block_on(client.sync()).unwrap().gone.len(), 1);
    let (sent, received) = *carried.lock().unwrap();
    let traffic = client.traffic();
    assert_eq!(
        (traffic.bytes_sent, traffic.bytes_received),
        (sent, received)
    );
    // Far more than the message: handshake and records are on the wire too.
    assert!(traffic.bytes_received > 500);
}

#[test]
fn a_write_says_its_method_its_key_and_that_the_answer_is_to_be_protobuf() {
    let nothing = Format::Protobuf.encode(&wire::WriteAnswer::default());
    let setup = setup(vec![Reply::Send(answer("", &nothing))]);
    let friends = setup.client.friends().unwrap();
    let settings = highwater_sdk::actions::friends::FriendSettings {
        // Long enough to be compressed, were it a message.
        remark: Some("x".repeat(2_000)),
        ..Default::default()
    };
    block_on(friends.set("u:2", &settings)).unwrap();
    let heard = setup.server.heard.recv().unwrap();
    let mut lines: Vec<_> = heard.head.lines().collect();
    assert_eq!(lines.remove(0), "patch /v1/users/u1/friends/u%3a2 http/1.1");
    lines.sort_unstable();
    let key = lines
        .iter()
        .find_map(|line| line.strip_prefix("idempotency-key: "));
    let key = format!("idempotency-key: {}", key.unwrap());
    assert_eq!(key.len(), "idempotency-key: ".len() + 32);
    let length = format!("content-length: {}", heard.body.len());
    let host = format!("host: {}", setup.server.address);
    assert_eq!(
        lines,
        [
            "accept-encoding: hw1, zstd, gzip",
            "accept: application/x-protobuf",
            "authorization: bearer secret",
            &length,
            "content-type: application/json",
            &host,
            &key,
        ]
    );
    assert!(heard.body.starts_with(b"{\"remark\":\"xxx"));
}

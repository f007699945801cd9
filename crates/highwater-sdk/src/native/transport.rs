//! Requests over HTTP/1.1, on connections that are kept.
//!
//! Few and short headers: an aligned check is a few dozen bytes each way, and
//! headers are most of what it costs.

use super::coding::{self, Undecodable};
use super::socket::{Counted, Meter};
use super::{Compression, NativeConfig, tls};
use crate::driver::{self, BoxFuture, Request, Response, Traffic, Transport, TransportError};
use bytes::{Bytes, BytesMut};
use http::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HOST, HeaderMap,
    HeaderName, HeaderValue,
};
use http::{Method, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

type Sender = SendRequest<Full<Bytes>>;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Connections that are kept while nobody uses them.
const IDLE_MAX: usize = 4;

/// Sends requests over HTTP/1.1. Works on the driver's own thread only.
pub(super) struct HttpTransport {
    config: NativeConfig,
    tls: TlsConnector,
    meter: Arc<Meter>,
    /// Connections that wait for their next request, and where to.
    idle: Mutex<Vec<(String, Sender)>>,
    /// The server has refused a compressed request.
    plain_requests: AtomicBool,
}

/// Where a request goes.
struct Target {
    tls: bool,
    host: String,
    port: u16,
    /// Host, and port if it is not the scheme's own.
    authority: String,
    path: String,
}

impl HttpTransport {
    pub(super) fn new(config: NativeConfig) -> Result<Self, String> {
        Ok(Self {
            tls: tls::connector(&config.root_certificates)?,
            config,
            meter: Arc::new(Meter::default()),
            idle: Mutex::new(Vec::new()),
            plain_requests: AtomicBool::new(false),
        })
    }

    async fn exchange(&self, request: Request) -> Result<Response, TransportError> {
        let target = Target::parse(&request.url)?;
        let response = self
            .exchange_once(&target, &request, self.coded(&request))
            .await?;
        let is_refused_coding = response.status == 415 && self.coded(&request).is_some();
        if !is_refused_coding {
            return Ok(response);
        }
        // 415 may also be about the content type: then it comes again.
        self.plain_requests.store(true, Ordering::Relaxed);
        self.exchange_once(&target, &request, None).await
    }

    /// The request's body as it travels, if that is compressed. The dictionary is
    /// one of protobuf messages; a write's short JSON gains nothing by it.
    fn coded(&self, request: &Request) -> Option<Bytes> {
        let may = self.config.compression == Compression::Auto
            && request.idempotency_key.is_none()
            && !self.plain_requests.load(Ordering::Relaxed)
            && request.body.len() > coding::WORTHWHILE_BYTES;
        may.then(|| coding::encode(&request.body)).flatten()
    }

    async fn exchange_once(
        &self,
        target: &Target,
        request: &Request,
        coded: Option<Bytes>,
    ) -> Result<Response, TransportError> {
        let origin = target.origin();
        let kept = self.take_idle(&origin);
        let is_kept = kept.is_some();
        let mut sender = match kept {
            Some(sender) => sender,
            None => self.connect(target).await?,
        };
        self.meter.request();
        let sent = sender.send_request(self.message(target, request, coded.clone())?);
        let head = match self.in_time(sent).await? {
            Ok(head) => head,
            // The server closed a kept connection before it saw the request, or
            // instead of answering it. A sync only reads, and a write has its
            // key: it is sent again.
            Err(error) if is_kept && is_closed(&error) => {
                sender = self.connect(target).await?;
                self.meter.request();
                let sent = sender.send_request(self.message(target, request, coded)?);
                self.in_time(sent)
                    .await?
                    .map_err(|error| cut_short(&error))?
            }
            Err(error) => return Err(cut_short(&error)),
        };
        let (head, body) = head.into_parts();
        let body = self.collect(body).await?;
        let response = self.decode(head.status.as_u16(), &head.headers, body)?;
        self.keep(origin, sender);
        Ok(response)
    }

    /// A connection that is there already. One that the server has closed
    /// meanwhile is not.
    fn take_idle(&self, origin: &str) -> Option<Sender> {
        let mut idle = self.idle.lock();
        idle.retain(|(_, sender)| !sender.is_closed());
        let at = idle
            .iter()
            .rposition(|(to, sender)| to == origin && sender.is_ready())?;
        Some(idle.remove(at).1)
    }

    fn keep(&self, origin: String, sender: Sender) {
        let mut idle = self.idle.lock();
        if !sender.is_closed() && idle.len() < IDLE_MAX {
            idle.push((origin, sender));
        }
    }

    async fn connect(&self, target: &Target) -> Result<Sender, TransportError> {
        let failed = |reason: String| TransportError::Connect {
            host: format!("{}:{}", target.host, target.port),
            reason,
        };
        let work = async {
            let address = (target.host.as_str(), target.port);
            let socket = TcpStream::connect(address)
                .await
                .map_err(|error| failed(error.to_string()))?;
            // A request is written at once: there is nothing to wait for.
            let _ = socket.set_nodelay(true);
            let socket = Counted::new(socket, Arc::clone(&self.meter));
            if !target.tls {
                return begin(socket)
                    .await
                    .map_err(|error| failed(error.to_string()));
            }
            let name = ServerName::try_from(target.host.clone())
                .map_err(|error| failed(error.to_string()))?;
            let socket = self
                .tls
                .connect(name, socket)
                .await
                .map_err(|error| failed(format!("TLS: {error}")))?;
            begin(socket)
                .await
                .map_err(|error| failed(error.to_string()))
        };
        let limit = self.config.connect_timeout;
        timeout(limit, work)
            .await
            .unwrap_or_else(|_| Err(failed(format!("no answer within {} ms", millis(limit)))))
    }

    fn message(
        &self,
        target: &Target,
        request: &Request,
        coded: Option<Bytes>,
    ) -> Result<http::Request<Full<Bytes>>, TransportError> {
        let bad = |what: &str| TransportError::Unintelligible(format!("{what} cannot be a header"));
        let mut token = HeaderValue::try_from(format!("Bearer {}", request.token))
            .map_err(|_| bad("the token"))?;
        token.set_sensitive(true);
        let host = HeaderValue::try_from(&target.authority).map_err(|_| bad("the host"))?;
        let path = Uri::try_from(&target.path).map_err(|_| bad("the path"))?;
        let is_coded = coded.is_some();
        let body = coded.unwrap_or_else(|| request.body.clone());
        let mut message = http::Request::new(Full::new(body));
        *message.method_mut() = match request.method {
            driver::Method::Post => Method::POST,
            driver::Method::Put => Method::PUT,
            driver::Method::Patch => Method::PATCH,
            driver::Method::Delete => Method::DELETE,
        };
        *message.uri_mut() = path;
        let headers = message.headers_mut();
        headers.insert(HOST, host);
        headers.insert(AUTHORIZATION, token);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(request.content_type));
        if let Some(key) = &request.idempotency_key {
            let key = HeaderValue::try_from(&**key).map_err(|_| bad("the idempotency key"))?;
            headers.insert(IDEMPOTENCY_KEY, key);
            let protobuf = highwater_protocol::codec::Format::Protobuf.content_type();
            headers.insert(ACCEPT, HeaderValue::from_static(protobuf));
        }
        if self.config.compression == Compression::Auto {
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(coding::ACCEPTED));
        }
        if is_coded {
            let dictionary = highwater_protocol::codec::ZSTD_DICTIONARY_CODING;
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(dictionary));
        }
        Ok(message)
    }

    /// Reads a body to its end, each part within the time that nothing may
    /// come.
    async fn collect(&self, mut body: Incoming) -> Result<Bytes, TransportError> {
        let limit = self.config.response_bytes_max;
        let mut whole = BytesMut::new();
        while let Some(frame) = self.in_time(body.frame()).await? {
            let frame = frame.map_err(|error| cut_short(&error))?;
            if let Ok(data) = frame.into_data() {
                if whole.len() + data.len() > limit {
                    return Err(TransportError::TooLarge { limit });
                }
                whole.extend_from_slice(&data);
            }
        }
        Ok(whole.freeze())
    }

    fn decode(
        &self,
        status: u16,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Result<Response, TransportError> {
        let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let limit = self.config.response_bytes_max;
        let coded = coding::decode(text(CONTENT_ENCODING), body, limit);
        let body = coded.map_err(|undecodable| match undecodable {
            Undecodable::TooLarge => TransportError::TooLarge { limit },
            Undecodable::Broken(why) => TransportError::Unintelligible(why),
        })?;
        Ok(Response {
            status,
            content_type: text(CONTENT_TYPE).map(str::to_owned),
            body,
        })
    }

    async fn in_time<T>(&self, work: impl Future<Output = T>) -> Result<T, TransportError> {
        let limit = self.config.response_timeout;
        timeout(limit, work)
            .await
            .map_err(|_| TransportError::Timeout {
                waited_ms: millis(limit),
            })
    }
}

impl Transport for HttpTransport {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, TransportError>> {
        Box::pin(self.exchange(request))
    }

    fn traffic(&self) -> Traffic {
        self.meter.read()
    }
}

impl Target {
    fn parse(url: &str) -> Result<Self, TransportError> {
        let bad = || TransportError::Unintelligible(format!("{url:?} is no address"));
        let uri = Uri::try_from(url).map_err(|_| bad())?;
        let authority = uri.authority().ok_or_else(bad)?;
        let tls = uri.scheme_str() == Some("https");
        let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let host = authority
            .host()
            .trim_start_matches('[')
            .trim_end_matches(']');
        Ok(Self {
            tls,
            host: host.to_owned(),
            port,
            authority: authority.as_str().to_owned(),
            path: uri.path().to_owned(),
        })
    }

    fn origin(&self) -> String {
        format!(
            "{}{}:{}",
            if self.tls { "https://" } else { "http://" },
            self.host,
            self.port
        )
    }
}

/// Begins to speak HTTP on a socket, and has the driver's thread carry it.
async fn begin<S>(socket: S) -> hyper::Result<Sender>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = handshake(TokioIo::new(socket)).await?;
    tokio::spawn(async move {
        // How a connection ends is told to whoever waits for an answer on it.
        let _ = connection.await;
    });
    Ok(sender)
}

/// Whether a connection ended without a byte of an answer.
fn is_closed(error: &hyper::Error) -> bool {
    error.is_canceled() || error.is_closed() || error.is_incomplete_message()
}

fn cut_short(error: &hyper::Error) -> TransportError {
    use std::error::Error as _;
    if error.is_parse() {
        return TransportError::Unintelligible(error.to_string());
    }
    match error.source() {
        Some(source) => TransportError::CutShort(format!("{error}: {source}")),
        None => TransportError::CutShort(error.to_string()),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

//! A homeserver that does exactly what a test tells it to, and keeps what it was sent, byte for byte.
//!
//! It speaks no more HTTP than a test can read: a real server would tidy up what these tests are there to see.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::socket::Socket;

/// How long a conversation waits for its other side before it gives up; far beyond every test's own deadlines.
const PATIENCE: Duration = Duration::from_secs(60);

/// A listening origin. Dropping it closes the listener and every connection.
pub struct Origin {
    address: Address,
    state: Arc<State>,
}

enum Address {
    Tcp(SocketAddr),
    Unix(String),
}

#[derive(Default)]
struct State {
    stopped: AtomicBool,
    seen: Mutex<Seen>,
    changed: Condvar,
}

#[derive(Default)]
struct Seen {
    requests: Vec<Received>,
    connections: usize,
    /// How many of them asked for `/health` and nothing else.
    probes: usize,
    /// To cut conversations off at the end.
    sockets: Vec<Socket>,
}

/// A request as it stood on the wire.
#[derive(Clone, Debug, Default)]
pub struct Received {
    /// Which connection it came by, counted from 0.
    pub connection: usize,
    /// From the request line to before the empty line, as Latin-1, so that every byte is a character.
    pub head: String,
    /// Without its framing.
    pub body: Vec<u8>,
}

/// One connection, from the origin's side.
pub struct Conversation {
    socket: Socket,
    ahead: Vec<u8>,
    number: usize,
    state: Arc<State>,
}

impl Origin {
    /// Listens on a port of its own and runs `script` for each connection. An error in it is the end of the
    /// connection, which is nothing unusual here.
    pub fn start(script: impl Fn(&mut Conversation) -> io::Result<()> + Send + Sync + 'static) -> Self {
        Self::start_at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), script)
    }

    /// The same at an address that was used before.
    #[track_caller]
    pub fn start_at(
        address: SocketAddr,
        script: impl Fn(&mut Conversation) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).expect("a free port on 127.0.0.1");
        let address = listener.local_addr().expect("a bound socket has an address");
        let state = serve(script, move || Ok(Socket::Tcp(listener.accept()?.0)));
        Self { address: Address::Tcp(address), state }
    }

    /// The same on a unix socket in `folder`.
    #[track_caller]
    pub fn start_unix(
        folder: &Path,
        script: impl Fn(&mut Conversation) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let path = folder.join("origin.sock");
        let listener = UnixListener::bind(&path).expect("a writable folder");
        let state = serve(script, move || Ok(Socket::Unix(listener.accept()?.0)));
        Self { address: Address::Unix(path.to_string_lossy().into_owned()), state }
    }

    /// Answers every request with `200` and this body.
    pub fn answering(body: &'static str) -> Self {
        Self::start(move |talk| talk.answer_all(body))
    }

    /// What goes into `homeserver = …`.
    pub fn url(&self) -> String {
        match &self.address {
            Address::Tcp(address) => format!("http://{address}"),
            Address::Unix(path) => format!("unix:{path}"),
        }
    }

    #[track_caller]
    pub fn address(&self) -> SocketAddr {
        match self.address {
            Address::Tcp(address) => address,
            Address::Unix(_) => panic!("a unix socket has no such address"),
        }
    }

    /// Every request so far, in order of arrival.
    pub fn requests(&self) -> Vec<Received> {
        self.state.seen().requests.clone()
    }

    /// The one request so far.
    #[track_caller]
    pub fn only_request(&self) -> Received {
        let requests = self.requests();
        assert_eq!(requests.len(), 1, "{requests:?}");
        requests.into_iter().next().expect("just counted")
    }

    /// The most recent request.
    #[track_caller]
    pub fn last_request(&self) -> Received {
        self.requests().pop().expect("a request has arrived")
    }

    /// How many connections were opened, without those of the front's own probes.
    pub fn connections(&self) -> usize {
        let seen = self.state.seen();
        seen.connections - seen.probes
    }

    /// How often the front has asked for `/health`.
    pub fn probes(&self) -> usize {
        self.state.seen().probes
    }

    /// Waits until so many requests have arrived with their heads.
    #[track_caller]
    pub fn wait_for_requests(&self, count: usize, within: Duration) {
        let deadline = Instant::now() + within;
        let mut seen = self.state.seen();
        while seen.requests.len() < count {
            let left = deadline.checked_duration_since(Instant::now());
            let left = left.unwrap_or_else(|| panic!("{} of {count} requests within {within:?}", seen.requests.len()));
            seen = self.state.changed.wait_timeout(seen, left).expect("no script panics while it holds this").0;
        }
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.state.stopped.store(true, Ordering::Release);
        // The accepting thread is asleep in `accept`; a last visitor wakes it, and it then drops its listener.
        let _woken = match &self.address {
            Address::Tcp(address) => TcpStream::connect(address).map(drop),
            Address::Unix(path) => UnixStream::connect(path).map(drop),
        };
        for socket in &self.state.seen().sockets {
            socket.shut_down();
        }
        if let Address::Tcp(address) = self.address {
            // Whoever listens there next must not meet this one's listener.
            let gone = || TcpStream::connect(address).is_err();
            let deadline = Instant::now() + PATIENCE;
            while !gone() && Instant::now() < deadline {
                thread::yield_now();
            }
        }
    }
}

fn serve(
    script: impl Fn(&mut Conversation) -> io::Result<()> + Send + Sync + 'static,
    mut accept: impl FnMut() -> io::Result<Socket> + Send + 'static,
) -> Arc<State> {
    let state = Arc::<State>::default();
    let (shared, script) = (Arc::clone(&state), Arc::new(script));
    thread::spawn(move || {
        while let Ok(socket) = accept() {
            if shared.stopped.load(Ordering::Acquire) {
                return;
            }
            let (Ok(clone), Ok(())) = (socket.try_clone(), socket.be_patient(PATIENCE)) else { continue };
            let mut seen = shared.seen();
            seen.sockets.push(clone);
            let mut talk =
                Conversation { socket, ahead: Vec::new(), number: seen.connections, state: Arc::clone(&shared) };
            seen.connections += 1;
            drop(seen);
            let script = Arc::clone(&script);
            thread::spawn(move || {
                let _over = script(&mut talk);
                talk.socket.shut_down();
            });
        }
    });
    state
}

impl State {
    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().expect("no script panics while it holds this")
    }
}

impl Conversation {
    /// Reads a request whole, and keeps it.
    pub fn request(&mut self) -> io::Result<Received> {
        let mut request = self.head()?;
        request.body = match request.header("transfer-encoding") {
            Some(_) => self.chunks()?,
            None => {
                let length = request.header("content-length").map_or(0, |text| text.parse().unwrap_or(0));
                self.exactly(length)?
            }
        };
        let mut seen = self.state.seen();
        if let Some(kept) = seen.requests.iter_mut().rev().find(|kept| kept.connection == self.number) {
            kept.body.clone_from(&request.body);
        }
        Ok(request)
    }

    /// Reads the head of a request, and keeps it. The body is left to the script.
    ///
    /// A script that reads requests belongs to a homeserver that runs, and such a one answers `/health` without being
    /// told to; that ends the conversation.
    pub fn head(&mut self) -> io::Result<Received> {
        let end = loop {
            if let Some(at) = self.ahead.windows(4).position(|window| window == b"\r\n\r\n") {
                break at;
            }
            self.fill()?;
        };
        let head = self.ahead.drain(..end + 4).take(end).map(char::from).collect();
        let request = Received { connection: self.number, head, body: Vec::new() };
        if request.target() == "/health" && request.headers("x-forwarded-for").is_empty() {
            self.state.seen().probes += 1;
            self.answer("OK")?;
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.state.seen().requests.push(request.clone());
        self.state.changed.notify_all();
        Ok(request)
    }

    /// Reads so many bytes of a body.
    pub fn exactly(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.ahead.len() < length {
            self.fill()?;
        }
        Ok(self.ahead.drain(..length).collect())
    }

    pub fn chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let size = self.line()?;
            let size = size.split(';').next().and_then(|hex| usize::from_str_radix(hex.trim(), 16).ok());
            match size.ok_or(io::ErrorKind::InvalidData)? {
                0 => {
                    while !self.line()?.is_empty() {}
                    return Ok(body);
                }
                size => {
                    body.extend(self.exactly(size)?);
                    self.line()?;
                }
            }
        }
    }

    fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(at) = self.ahead.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.ahead.drain(..=at).collect();
                return Ok(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            self.fill()?;
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut buffer = [0; 64 * 1024];
        match self.socket.read(&mut buffer)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            count => {
                self.ahead.extend_from_slice(&buffer[..count]);
                Ok(())
            }
        }
    }

    /// Whatever has arrived, at least a byte; empty at the end.
    pub fn some(&mut self) -> io::Result<Vec<u8>> {
        if self.ahead.is_empty() {
            match self.fill() {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(Vec::new()),
                other => other?,
            }
        }
        Ok(std::mem::take(&mut self.ahead))
    }

    /// Writes these bytes.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.socket.write_all(bytes.as_ref())
    }

    /// Another handle, to write while the script reads.
    pub fn writer(&self) -> io::Result<impl io::Write + Send + use<>> {
        self.socket.try_clone()
    }

    /// Answers with `200` and this body.
    pub fn answer(&mut self, body: &str) -> io::Result<()> {
        self.send(format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ))
    }

    /// Answers every request on this connection like that.
    pub fn answer_all(&mut self, body: &str) -> io::Result<()> {
        loop {
            self.request()?;
            self.answer(body)?;
        }
    }

    /// Reads until the other side has closed or reset; whatever still comes is dropped.
    pub fn until_closed(&mut self) {
        while self.some().is_ok_and(|bytes| !bytes.is_empty()) {}
    }
}

impl Received {
    pub fn request_line(&self) -> &str {
        self.head.split("\r\n").next().unwrap_or_default()
    }

    /// What stands between method and version.
    pub fn target(&self) -> &str {
        let line = self.request_line();
        let line = line.split_once(' ').map_or(line, |(_, rest)| rest);
        line.rsplit_once(' ').map_or(line, |(target, _)| target)
    }

    /// Every value of a header, in order.
    pub fn headers(&self, name: &str) -> Vec<&str> {
        let lines = self.head.split("\r\n").skip(1).filter_map(|line| line.split_once(':'));
        lines.filter(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).collect()
    }

    /// The value of a header that stands there at most once.
    #[track_caller]
    pub fn header(&self, name: &str) -> Option<&str> {
        match self.headers(name)[..] {
            [] => None,
            [value] => Some(value),
            ref several => panic!("{} headers {name}: {several:?}", several.len()),
        }
    }
}

//! A homeserver that keeps every byte it is sent, reads it by the strict rules, and answers as a probe wants it to.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use super::rules::{self, Reading, Request};

/// A step of an answer.
#[derive(Clone, Debug)]
pub enum Step {
    Send(Vec<u8>),
    Pause(Duration),
    /// Nothing more, and the connection stays open.
    Hang,
    /// A FIN; what the proxy still sends is read.
    HalfClose,
    /// A FIN and no more reading.
    Close,
    /// An RST.
    Reset,
    /// Waits until the request's body has come to its end.
    WholeRequest,
}

/// When and how a request is answered.
#[derive(Clone, Debug)]
pub struct Script {
    /// Before the body has been read.
    pub early: bool,
    pub steps: Vec<Step>,
}

/// Chooses the answer: to a request, the how-manieth on its connection (from 0).
pub type Answering = dyn Fn(&Request, usize) -> Script + Send + Sync;

/// Everything that arrived.
#[derive(Default)]
pub struct Record {
    /// The bytes of each connection, up to where they became a WebSocket's.
    pub raw: Vec<Vec<u8>>,
    pub requests: Vec<Request>,
    /// What broke a rule, with the bytes that it was read from.
    pub faults: Vec<Fault>,
}

#[derive(Clone, Debug)]
pub struct Fault {
    pub what: String,
    pub bytes: Vec<u8>,
}

/// A listening origin. Dropping it ends its thread and every connection.
pub struct Origin {
    pub address: SocketAddr,
    record: Arc<Mutex<Record>>,
    _stop: oneshot::Sender<()>,
}

impl Origin {
    /// Listens on a port of its own.
    #[track_caller]
    pub fn start(answering: impl Fn(&Request, usize) -> Script + Send + Sync + 'static) -> Self {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port on 127.0.0.1");
        listener.set_nonblocking(true).expect("an option");
        let address = listener.local_addr().expect("a bound socket has an address");
        let record = Arc::new(Mutex::new(Record::default()));
        let (stop, stopped) = oneshot::channel();
        let (kept, answering): (_, Arc<Answering>) = (Arc::clone(&record), Arc::new(answering));
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async move {
                let listener = TcpListener::from_std(listener).expect("a listener");
                tokio::select! {
                    () = accept(listener, kept, answering) => {}
                    _ = stopped => {}
                }
            });
        });
        Self { address, record, _stop: stop }
    }

    pub fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().expect("nobody panics while holding it")
    }

    /// How many requests have arrived with their heads.
    pub fn count(&self) -> usize {
        self.record().requests.len()
    }
}

impl Record {
    /// The requests of one probe.
    pub fn of(&self, probe: &str) -> Vec<Request> {
        self.requests.iter().filter(|request| request.probe() == Some(probe)).cloned().collect()
    }

    /// Whether any byte of one probe's target arrived, in whatever shape.
    pub fn has_bytes_of(&self, probe: &str) -> bool {
        let mark = format!("p/{probe}/");
        self.raw.iter().any(|raw| contains(raw, mark.as_bytes()))
    }

    /// What broke a rule in bytes that carry this probe's mark.
    pub fn faults_of(&self, probe: &str) -> Vec<String> {
        let mark = format!("p/{probe}/");
        let own = self.faults.iter().filter(|fault| contains(&fault.bytes, mark.as_bytes()));
        own.map(|fault| fault.what.clone()).collect()
    }
}

pub fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

async fn accept(listener: TcpListener, record: Arc<Mutex<Record>>, answering: Arc<Answering>) {
    while let Ok((socket, _)) = listener.accept().await {
        let _slow = socket.set_nodelay(true);
        let number = {
            let mut record = record.lock().expect("nobody panics while holding it");
            record.raw.push(Vec::new());
            record.raw.len() - 1
        };
        let mut conversation = Conversation {
            socket,
            number,
            ahead: Vec::new(),
            kept: None,
            record: Arc::clone(&record),
            answering: Arc::clone(&answering),
        };
        tokio::spawn(async move {
            let _over = conversation.run().await;
        });
    }
}

struct Conversation {
    socket: TcpStream,
    number: usize,
    ahead: Vec<u8>,
    /// Where the request being read stands in the record.
    kept: Option<usize>,
    record: Arc<Mutex<Record>>,
    answering: Arc<Answering>,
}

/// How a conversation ends early.
struct Over;

impl From<std::io::Error> for Over {
    fn from(_: std::io::Error) -> Self {
        Self
    }
}

impl Conversation {
    async fn run(&mut self) -> Result<(), Over> {
        for answered in 0.. {
            self.kept = None;
            let head = self.request(true).await?;
            let script = (self.answering)(&head, answered);
            if !script.early {
                if !head.whole && head.value("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue")) {
                    self.socket.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
                }
                self.request(false).await?;
            }
            let mut read = !script.early;
            for step in &script.steps {
                if matches!(step, Step::WholeRequest) {
                    self.request(false).await?;
                    read = true;
                } else {
                    self.step(step).await?;
                }
            }
            if !read {
                self.request(false).await?;
            }
            let Reading::Whole(_, taken) = rules::read(&self.ahead) else { return Err(Over) };
            self.ahead.drain(..taken);
        }
        Ok(())
    }

    /// Reads until the request is whole, or its head is. What has come stays in `ahead`.
    async fn request(&mut self, head_is_enough: bool) -> Result<Request, Over> {
        loop {
            match rules::read(&self.ahead) {
                Reading::Head => {}
                Reading::Body(request) => {
                    self.keep(&request);
                    if head_is_enough {
                        return Ok(request);
                    }
                }
                Reading::Whole(request, taken) => {
                    self.keep(&request);
                    if taken < self.ahead.len() {
                        self.fault("bytes beyond the request, before its answer".to_owned());
                        return Err(Over);
                    }
                    return Ok(request);
                }
                Reading::Broken(what) => {
                    self.fault(what);
                    let _gone = self.socket.write_all(b"HTTP/1.1 500 Broken\r\nContent-Length: 0\r\n\r\n").await;
                    return Err(Over);
                }
            }
            self.fill().await?;
        }
    }

    fn keep(&mut self, request: &Request) {
        let mut record = self.record.lock().expect("nobody panics while holding it");
        let request = Request { connection: self.number, ..request.clone() };
        match self.kept {
            Some(at) => record.requests[at] = request,
            None => {
                self.kept = Some(record.requests.len());
                record.requests.push(request);
            }
        }
    }

    fn fault(&self, what: String) {
        let mut record = self.record.lock().expect("nobody panics while holding it");
        record.faults.push(Fault { what, bytes: self.ahead.clone() });
    }

    async fn fill(&mut self) -> Result<(), Over> {
        let mut buffer = vec![0; 64 * 1024];
        let count = self.socket.read(&mut buffer).await?;
        if count == 0 {
            return Err(Over);
        }
        self.ahead.extend_from_slice(&buffer[..count]);
        self.record.lock().expect("nobody panics while holding it").raw[self.number]
            .extend_from_slice(&buffer[..count]);
        Ok(())
    }

    async fn step(&mut self, step: &Step) -> Result<(), Over> {
        match step {
            Step::Send(bytes) => self.socket.write_all(bytes).await?,
            Step::Pause(time) => tokio::time::sleep(*time).await,
            Step::WholeRequest => {}
            Step::HalfClose => self.socket.shutdown().await?,
            Step::Hang => {
                // Until the proxy goes.
                let mut buffer = [0; 1024];
                while self.socket.read(&mut buffer).await? > 0 {}
                return Err(Over);
            }
            Step::Close => {
                self.socket.shutdown().await?;
                return Err(Over);
            }
            Step::Reset => {
                socket2::SockRef::from(&self.socket).set_linger(Some(Duration::ZERO))?;
                return Err(Over);
            }
        }
        Ok(())
    }
}

/// The ordinary answer: the target comes back, so that an answer to another request shows.
pub fn echo(request: &Request) -> Script {
    let body: Vec<u8> = request.target.chars().map(|c| u8::try_from(u32::from(c)).expect("Latin-1")).collect();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n", body.len());
    let answer = if request.method == "HEAD" { head.into_bytes() } else { [head.into_bytes(), body].concat() };
    Script { early: false, steps: vec![Step::Send(answer)] }
}

//! The importing client: has one file after another imported, some of them twice. Nobody else
//! touches its patients.

use std::{
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    time::{Duration, Instant},
};

use reqwest::Response;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use system_tests::{Visitor, http_client};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::{
    between,
    clients::{Clients, Load},
    requests::problem,
};

/// How many patients are in a file.
pub(crate) const LINES: usize = 26;

/// How long an import may take: it goes on with the schedule after its function was killed, and
/// waits for its lease.
const PATIENCE: Duration = Duration::from_mins(5);

/// How often the bucket and an import are asked.
const LOOK: Duration = Duration::from_millis(500);

/// A file, and what became of its lines each time.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct File {
    /// Its name in the report.
    pub(crate) name: String,
    pub(crate) imports: Vec<Vec<Line>>,
    /// What was rejected and should not have been, or did not end: the rest is not checked.
    pub(crate) failure: Option<String>,
}

impl File {
    /// The address of everybody in the file, which nobody else has.
    pub(crate) fn address(&self) -> String {
        address(&self.name)
    }
}

/// Whether somebody at this address came from a file.
pub(crate) fn is_imported(address: &str) -> bool {
    address.ends_with(IMPORTED)
}

const IMPORTED: &str = ", imported";

fn address(name: &str) -> String {
    format!("{name}{IMPORTED}")
}

/// What became of a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Line {
    #[serde(rename = "line")]
    pub(crate) number: u64,
    pub(crate) outcome: String,
    pub(crate) patient_id: Option<Uuid>,
}

/// What the importing client has done.
pub(crate) struct Shelf {
    load: Arc<Load>,
    files: Mutex<Vec<File>>,
    seed: u64,
}

impl Shelf {
    /// A shelf without files.
    pub(crate) fn new(load: Arc<Load>, seed: u64) -> Self {
        Self {
            load,
            files: Mutex::default(),
            seed,
        }
    }

    /// All files.
    pub(crate) fn files(&self) -> Vec<File> {
        let files = self.files.lock();
        files.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Starts the importing client.
pub(crate) fn start(shelf: &Arc<Shelf>) -> Clients {
    let mut all = JoinSet::new();
    let client = Client {
        shelf: Arc::clone(shelf),
        random: fastrand::Rng::with_seed(shelf.seed.rotate_left(32)),
    };
    all.spawn(client.work());
    Clients::of(all)
}

struct Client {
    shelf: Arc<Shelf>,
    random: fastrand::Rng,
}

impl Client {
    async fn work(mut self) {
        let load = Arc::clone(&self.shelf.load);
        for number in 1.. {
            if load.stop.load(Ordering::Relaxed) {
                return;
            }
            let mut file = File {
                name: format!("i{number}-{}", &Uuid::new_v4().simple().to_string()[..8]),
                imports: Vec::new(),
                failure: None,
            };
            file.failure = self.have_imported(&mut file).await.err();
            let files = self.shelf.files.lock();
            files.unwrap_or_else(PoisonError::into_inner).push(file);
            let pause = if load.is_enough() { 8_000 } else { 2_000 };
            tokio::time::sleep(between(&mut self.random, pause / 4, pause)).await;
        }
    }

    /// Has the file imported, and perhaps once more.
    async fn have_imported(&mut self, file: &mut File) -> Result<(), String> {
        let content = content(&file.name);
        for _ in 0..=self.random.usize(0..=1) {
            let lines = self.import(&file.name, &content).await?;
            file.imports.push(lines);
            let load = &self.shelf.load;
            load.acknowledged.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    async fn import(&mut self, name: &str, content: &str) -> Result<Vec<Line>, String> {
        let input = json!({ "format": "CSV", "welcome": true, "contentLength": content.len() });
        let start = |visitor: &Visitor| visitor.post("/api/patients/imports").json(&input);
        let started = self.ask(name, "start-import", start).await?;
        let upload = text(&started, "uploadUrl")?;
        let http = http_client().build().map_err(|error| error.to_string())?;
        let put = || {
            let put = http.put(upload).header("Content-Type", "text/csv");
            put.body(content.to_owned())
        };
        sent(put).await?;
        let path = format!("/api/patients/imports/{}", text(&started, "id")?);
        let begun = Instant::now();
        let import = loop {
            let look = |visitor: &Visitor| visitor.get(&path);
            let import = self.ask(name, "get-import", look).await?;
            match text(&import, "state")? {
                "COMPLETED" => break import,
                "AWAITING_UPLOAD" | "RUNNING" if begun.elapsed() < PATIENCE => {}
                state => return Err(format!("{path} is {state}: {}", import["refusal"])),
            }
            tokio::time::sleep(LOOK).await;
        };
        let outcomes = text(&import, "outcomesUrl")?;
        let outcomes = sent(|| http.get(outcomes)).await?;
        let lines = outcomes.lines().map(serde_json::from_str);
        lines.collect::<Result<_, _>>().map_err(|e| e.to_string())
    }

    /// Sends a request until there is a response, which has to be a success.
    async fn ask(
        &mut self,
        name: &str,
        function: &'static str,
        call: impl Fn(&Visitor) -> system_tests::Call,
    ) -> Result<Value, String> {
        let load = Arc::clone(&self.shelf.load);
        let (_, answer) = load.insist(&mut self.random, name, function, call).await;
        let answer = answer.ok_or_else(|| format!("{function} had no response"))?;
        if answer.status < 300 {
            return Ok(answer.json());
        }
        let kind = problem(&answer).map_or_else(String::new, |problem| problem.kind);
        let status = answer.status;
        Err(format!("{function} was rejected with {status} {kind}"))
    }
}

/// Patients whose names tell them apart, and whose address is the file's.
fn content(name: &str) -> String {
    let titles = "name,email,address,dateOfBirth".to_owned();
    let address = address(name);
    let lines = (b'a'..=b'z').zip(0..LINES).map(|(letter, number)| {
        let letter = char::from(letter);
        format!("Ann {name}{letter},{name}.{number}@synthea.example,\"{address}\",1987-03-12")
    });
    let lines: Vec<_> = std::iter::once(titles).chain(lines).collect();
    lines.join("\n")
}

fn text<'a>(value: &'a Value, field: &str) -> Result<&'a str, String> {
    value[field]
        .as_str()
        .ok_or_else(|| format!("there is no {field}"))
}

/// Sends a request to the bucket until it succeeds. Returns what it answered.
async fn sent(request: impl Fn() -> reqwest::RequestBuilder) -> Result<String, String> {
    let begun = Instant::now();
    loop {
        let why = match request().send().await.and_then(Response::error_for_status) {
            Ok(answer) => match answer.text().await {
                Ok(text) => return Ok(text),
                Err(error) => error,
            },
            Err(error) => error,
        };
        if begun.elapsed() > PATIENCE {
            return Err(format!("the bucket does not do it: {}", why.without_url()));
        }
        tokio::time::sleep(LOOK).await;
    }
}

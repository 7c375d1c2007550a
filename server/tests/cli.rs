//! The `tidings` program as people run it: its commands, what they print, and how they end.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what a test cannot do without fails it; only the tests themselves are exempt by configuration"
)]

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Output, Stdio},
};

use flate2::{Compression, write::GzEncoder};
use kernel::{
    identity::Tokens,
    testing::issuer::{Issuer, jwks},
};
use schemas::{ChatEvent, json::EventFromJson};
use server::data_dir::DataDir;
use tempfile::TempDir;

const TIDINGS: &str = env!("CARGO_BIN_EXE_tidings");

/// A folder for one test.
struct Place(TempDir);

/// A program that runs beside the test; killed when the test is over.
struct Running {
    child: Child,
    lines: BufReader<ChildStdout>,
}

/// How a command ended.
#[derive(Debug)]
struct Done {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The program with these arguments, in this folder, with the data in `data`, and none of the environment's settings.
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(TIDINGS);
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TIDINGS_")) {
            command.env_remove(name);
        }
        command.current_dir(self.0.path()).env("TIDINGS_DATA", "data").args(args).stdin(Stdio::null());
        command
    }

    fn run(&self, args: &[&str]) -> Done {
        done(&self.command(args).output().unwrap())
    }

    /// The same, for what must go well.
    fn good(&self, args: &[&str]) -> String {
        let done = self.run(args);
        assert_eq!(done.code, Some(0), "{args:?}: {done:?}");
        done.out
    }

    /// The same, for what must fail with one line that begins with `error:`.
    fn bad(&self, args: &[&str]) -> String {
        let done = self.run(args);
        assert_eq!(done.code, Some(1), "{args:?}: {done:?}");
        assert!(done.err.starts_with("error: ") && done.err.lines().count() == 1, "{done:?}");
        assert_eq!(done.out, "");
        done.err
    }

    fn spawn(&self, args: &[&str]) -> Running {
        let mut child = self.command(args).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Running { child, lines }
    }

    /// A server on this folder, and where it listens.
    fn serve(&self, listen: &str) -> (Running, String) {
        let mut server = self.spawn(&["--listen", listen, "--guests", "off"]);
        let greeting = server.line();
        let url = greeting.split(' ').find(|word| word.starts_with("http://"));
        (server, url.unwrap_or_else(|| panic!("{greeting}")).trim_end_matches('/').to_owned())
    }

    /// Writes a log of so many messages in three conversations, and some of other kinds.
    fn log(&self, name: &str, messages: usize) {
        let mut text = String::new();
        for number in 0..messages {
            let conversation = ["tea", "coffee", "rust"][number % 3];
            text += &line(conversation, number, "message", &format!("number {number} — ❥\\n\\tand more"));
        }
        text += &line("tea", messages, "action", "waves");
        text += &line("tea", messages + 1, "join", "");
        text += &line("tea", messages + 2, "rename", "anna");
        text += &line("tea", messages + 3, "leave", "good night");
        let mut gz = GzEncoder::new(fs::File::create(self.path(name)).unwrap(), Compression::fast());
        gz.write_all(text.as_bytes()).unwrap();
        gz.finish().unwrap();
    }
}

impl Running {
    /// The next line that it prints, once it does.
    fn line(&mut self) -> String {
        let mut line = String::new();
        assert_ne!(self.lines.read_line(&mut line).unwrap(), 0, "it ended");
        line.trim_end().to_owned()
    }

    /// Sends a signal and waits for the end; gives the exit code.
    fn end(&mut self, signal: &str) -> Option<i32> {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn done(output: &Output) -> Done {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    Done { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
}

fn line(conversation: &str, number: usize, kind: &str, text: &str) -> String {
    let (minute, second) = (number / 60 % 60, number % 60);
    let hour = number / 3_600;
    format!(
        "{{\"conversation\":\"{conversation}\",\"at\":\"2024-02-29T{hour:02}:{minute:02}:{second:02}.000Z\",\
         \"author\":\"ann\",\"kind\":\"{kind}\",\"text\":\"{text}\",\"reply_to\":null,\"id\":\"m-{number}\"}}\n"
    )
}

fn events(ndjson: &str) -> Vec<ChatEvent> {
    let read = |line| serde_json::from_str::<EventFromJson>(line).unwrap().event;
    ndjson.lines().map(read).collect()
}

fn avro(path: &Path) -> Vec<ChatEvent> {
    let file = BufReader::new(fs::File::open(path).unwrap());
    let reader = apache_avro::Reader::builder(file).human_readable(false).build().unwrap();
    reader.into_deser_iter().map(Result::unwrap).collect()
}

#[test]
fn a_token_is_printed_alone_and_speaks_for_its_user() {
    let place = Place::new();
    let printed = place.good(&["token", "--user", "ann", "--admin", "--ttl", "30m"]);
    let token = printed.strip_suffix('\n').unwrap();
    let key = DataDir::open(&place.path("data")).unwrap().token_key().unwrap();
    let tokens = Tokens::from(key);
    let identity = tokens.verify(token).unwrap();
    assert_eq!((identity.user.as_str(), identity.admin), ("ann", true));
    let identity = tokens.verify(place.good(&["token", "--user", "ben", "--ttl", "forever"]).trim()).unwrap();
    assert_eq!((identity.admin, identity.expires_at), (false, None));
}

#[test]
fn a_subscription_token_speaks_for_one_conversation() {
    let place = Place::new();
    let printed = place.good(&["token", "--user", "ann", "--conversation", "tea"]);
    let tokens = Tokens::from(DataDir::open(&place.path("data")).unwrap().token_key().unwrap());
    let (token, ann, tea) = (printed.trim(), "ann".parse().unwrap(), "tea".parse().unwrap());
    assert!(tokens.verify_subscription(token, &ann, Some(&tea)).unwrap().expires_at.is_some());
    assert!(tokens.verify(token).is_err());
}

#[test]
fn tokens_of_an_issuer_count_beside_our_own() {
    let place = Place::new();
    let issuer = Issuer::new("RS256").called("k1");
    fs::write(place.path("jwks.json"), jwks(&[issuer.jwk()])).unwrap();
    let settings = "jwks = \"jwks.json\"\ntoken_audience = [\"chat\"]\ntoken_issuer = \"them\"\n";
    fs::write(place.path("tidings.toml"), settings).unwrap();
    let listen = ["--listen", "127.0.0.1:0", "--guests", "off", "--config", "tidings.toml"];
    let mut server = place.spawn(&listen);
    let greeting = server.line();
    let url = greeting
        .split(' ')
        .find(|word| word.starts_with("http://"))
        .unwrap()
        .trim_end_matches('/')
        .to_owned();
    let list = |token: &str| place.run(&["list", "--url", &url, "--token", token]);
    let claims = |audience: &str| serde_json::json!({"sub": "ann", "aud": audience, "iss": "them"});
    let done = list(&issuer.sign(&claims("chat")));
    assert_eq!(done.code, Some(0), "{done:?}");
    let done = list(&issuer.sign(&claims("mail")));
    assert!(done.code == Some(1) && done.err.contains("another audience"), "{done:?}");
    assert_eq!(list(place.good(&["token", "--user", "ben"]).trim()).code, Some(0));
}

#[test]
fn a_server_does_not_start_without_the_keys_it_was_told_of() {
    let place = Place::new();
    let serve = |jwks: &str| place.bad(&["--listen", "127.0.0.1:0", "--jwks", jwks]);
    assert!(serve("nowhere.json").contains("nowhere.json"));
    fs::write(place.path("empty.json"), "{\"keys\":[]}").unwrap();
    assert!(serve("empty.json").contains("no key that can be used"));
    fs::write(place.path("page.json"), "<html>").unwrap();
    assert!(serve("page.json").contains("no JWKS document"));
}

#[test]
fn a_second_import_adds_nothing_and_every_form_of_export_agrees() {
    let place = Place::new();
    place.log("log.gz", 2_500);
    let first = place.good(&["import", "log.gz"]);
    assert!(first.starts_with("2504 lines read: 2504 added, 0 already there, 0 refused ("), "{first}");
    let second = place.good(&["import", "log.gz"]);
    assert!(second.starts_with("2504 lines read: 0 added, 2504 already there, 0 refused ("), "{second}");

    let ndjson = place.good(&["export", "--conversation", "tea"]);
    let tea = events(&ndjson);
    assert_eq!(tea.len(), 1 + 834 + 4, "its creation, its messages, and the rest");
    place.good(&["export", "--conversation", "tea", "--output", "tea.ndjson"]);
    assert_eq!(fs::read_to_string(place.path("tea.ndjson")).unwrap(), ndjson);
    place.good(&["export", "--conversation", "tea", "--format", "avro", "--output", "tea.avro"]);
    assert_eq!(avro(&place.path("tea.avro")), tea);
    assert!(!place.path("tea.avro.part").exists());

    let half = place.good(&["export", "--conversation", "tea", "--as-of", "2024-02-29T00:20:00Z"]);
    assert!(ndjson.starts_with(&half) && half.len() < ndjson.len());
    let last: EventFromJson = serde_json::from_str(half.lines().last().unwrap()).unwrap();
    let rest = place.good(&["export", "--conversation", "tea", "--from", &last.position.to_string()]);
    assert_eq!(half.clone() + &rest, ndjson);
    let to = place.good(&["export", "--conversation", "tea", "--to", &last.position.to_string()]);
    assert_eq!(to, half);

    let listed = place.good(&["list"]);
    let ids: Vec<&str> = listed.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(ids, ["coffee", "rust", "tea"]);
    assert_eq!(place.good(&["list", "--json"]).lines().count(), 3);
    assert_eq!(place.good(&["list", "--user", "nobody"]), "");
}

#[test]
fn an_import_through_a_running_server_is_the_same_as_one_by_itself() {
    let (alone, served) = (Place::new(), Place::new());
    alone.log("log.gz", 50);
    served.log("log.gz", 50);
    alone.good(&["import", "log.gz"]);
    let (mut running, url) = served.serve("127.0.0.1:0");
    served.good(&["import", "log.gz"]);
    let through_folder = events(&served.good(&["export", "--conversation", "tea"]));
    assert_eq!(through_folder, events(&alone.good(&["export", "--conversation", "tea"])));

    let token = served.good(&["token", "--user", "auditor", "--admin"]);
    let by_address = ["export", "--conversation", "tea", "--url", &url, "--token", token.trim()];
    assert_eq!(events(&served.good(&by_address)), through_folder);
    assert_eq!(running.end("-TERM"), Some(0));
    assert!(served.bad(&by_address).contains(&url));
    assert_eq!(events(&served.good(&["export", "--conversation", "tea"])), through_folder);
}

#[test]
fn a_replay_is_made_for_people_and_for_pipes() {
    let place = Place::new();
    place.log("log.gz", 3);
    place.good(&["import", "log.gz"]);
    let replay = place.good(&["replay", "--conversation", "tea", "--speed", "max"]);
    let expected = "\
2024-02-29 00:00:00  -- dev created the conversation \"tea\"
2024-02-29 00:00:00  ann: number 0 — ❥
                     \tand more
2024-02-29 00:00:03  * ann waves
2024-02-29 00:00:04  -- ann joined
2024-02-29 00:00:05  -- ann is now known as anna
2024-02-29 00:00:06  -- ann left (good night)
";
    assert_eq!(replay, expected);
    let fast = place.good(&["replay", "--conversation", "tea", "--speed", "1000"]);
    assert_eq!(fast, expected);
    let then = place.good(&["replay", "--conversation", "tea", "--as-of", "2024-02-29T00:00:03Z"]);
    assert!(then.ends_with("* ann waves\n"), "{then}");
}

#[test]
fn a_bad_line_is_named_and_costs_no_other() {
    let place = Place::new();
    let lines = [
        line("tea", 1, "message", "one"),
        "no json\n".to_owned(),
        line("tea", 2, "sneeze", "two"),
        line("tea", 3, "message", "three"),
    ];
    fs::write(place.path("log"), lines.concat()).unwrap();
    let done = place.run(&["import", "log", "gone", "log"]);
    assert_eq!(done.code, Some(1));
    assert!(
        done.out.starts_with(
            "8 lines read: 2 added, 2 already there, 4 refused; 1 files not read to their end ("
        ),
        "{done:?}"
    );
    for told in ["refused: log:2: ", "refused: log:3: ", "error: gone: "] {
        assert!(done.err.contains(told), "{done:?}");
    }
    let many: String = (0..25).map(|_| "[]\n").collect();
    fs::write(place.path("many"), many).unwrap();
    let done = place.run(&["import", "many"]);
    assert_eq!(done.err.lines().count(), 21);
    assert!(done.err.ends_with("… and 5 more lines were refused\n"), "{done:?}");
}

#[test]
fn standard_input_is_a_file_too() {
    let place = Place::new();
    let mut import =
        place.command(&["import", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    import.stdin.take().unwrap().write_all(line("tea", 1, "message", "one").as_bytes()).unwrap();
    let done = done(&import.wait_with_output().unwrap());
    assert!(done.out.starts_with("1 lines read: 1 added"), "{done:?}");
}

#[test]
fn what_cannot_be_done_is_said_in_one_line() {
    let place = Place::new();
    assert!(place.bad(&["export", "--conversation", "tea"]).contains("there is no data in data"));
    assert!(!place.path("data").exists(), "looking makes no folder");
    place.log("log.gz", 1);
    place.good(&["import", "log.gz"]);
    let unknown = place.bad(&["export", "--conversation", "milk", "--output", "milk"]);
    assert!(unknown.contains("milk") && unknown.contains("unknown_conversation"), "{unknown}");
    assert!(!place.path("milk").exists() && !place.path("milk.part").exists());
    assert!(place.bad(&["replay", "--conversation", "milk"]).contains("milk"));
    assert!(place.bad(&["list", "--url", "http://127.0.0.1:1", "--token", "t"]).contains("127.0.0.1:1"));
    assert_eq!(place.run(&["list", "--url", "http://127.0.0.1:1"]).code, Some(2), "without a token");
}

#[test]
fn the_command_line_beats_the_environment() {
    let place = Place::new();
    place.log("log.gz", 1);
    place.good(&["import", "log.gz"]);
    let elsewhere = |args: &[&str]| {
        let mut command = place.command(args);
        command.env("TIDINGS_URL", "http://127.0.0.1:1").env("TIDINGS_TOKEN", "t");
        done(&command.output().unwrap())
    };
    assert_eq!(elsewhere(&["list", "--data", "data"]).code, Some(0));
    assert_eq!(elsewhere(&["list"]).code, Some(1), "an address beats a folder");
    // Settings of the server that stand in the environment are no options of another command.
    assert_eq!(elsewhere(&["token", "--user", "ann"]).code, Some(0));
}

#[test]
fn a_tail_goes_on_after_the_server_was_away_and_ends_well() {
    let place = Place::new();
    let say = |number, text| {
        fs::write(place.path("log"), line("tea", number, "message", text)).unwrap();
        place.good(&["import", "log"]);
    };
    let (server, url) = place.serve("127.0.0.1:0");
    say(1, "one");
    let token = place.good(&["token", "--user", "ann"]);
    let mut tail = place.spawn(&["tail", "--conversation", "tea", "--url", &url, "--token", token.trim()]);
    assert!(tail.line().ends_with("ann: one"));
    say(2, "two");
    assert!(tail.line().ends_with("ann: two"));
    drop(server);
    let _server = place.serve(url.strip_prefix("http://").unwrap());
    say(3, "three");
    assert!(tail.line().ends_with("ann: three"));
    assert_eq!(tail.end("-INT"), Some(0));
}

#[test]
fn a_measurement_adds_up_and_leaves_nothing_behind() {
    let place = Place::new();
    let printed =
        place.run(&["bench", "post", "--rate", "100", "--seconds", "1", "--connections", "4", "--json"]);
    let report: serde_json::Value =
        serde_json::from_str(&printed.out).unwrap_or_else(|_| panic!("{printed:?}"));
    let count = |name: &str| report[name].as_u64().unwrap_or_else(|| panic!("{name} in {report}"));
    let time = |name: &str| report[name].as_f64().unwrap_or_else(|| panic!("{name} in {report}"));
    assert_eq!((count("accepted") + count("unsent"), count("errors")), (100, 0), "{report}");
    assert!(time("floor_us") > 0.0 && time("p50_ms") > 0.0 && time("p50_ms") <= time("max_ms"));
    assert!(fs::read_dir(place.0.path()).unwrap().next().is_none(), "nothing is left");
}

#[test]
fn what_passes_in_one_process_is_counted_and_leaves_nothing_behind() {
    let place = Place::new();
    for (what, asked, events) in [("unwatched", "2000", 2_000), ("project", "100", 116)] {
        let printed = place.good(&["bench", what, "--events", asked, "--json"]);
        let report: serde_json::Value =
            serde_json::from_str(&printed).unwrap_or_else(|_| panic!("{printed}"));
        assert_eq!(report["events"], events, "{report}");
    }
    assert!(fs::read_dir(place.0.path()).unwrap().next().is_none(), "nothing is left");
}

//! The command line as people type it. The environment is not touched here: the tests of the binary do that.

use clap::CommandFactory;

use kernel::identity::Expected;

use super::*;
use crate::settings::Backing;

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(line.split(' '))
}

fn refused(line: &str) -> clap::Error {
    match parse(line) {
        Ok(cli) => panic!("{line} was taken: {cli:?}"),
        Err(error) => error,
    }
}

#[test]
fn the_definition_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn without_a_command_it_is_a_server() {
    let cli = parse("tidings --data /x --listen 127.0.0.1:0 --guests off --shards 2").unwrap();
    assert!(cli.command.is_none());
    let settings = cli.serve.settings().unwrap();
    assert_eq!(settings.data.to_str(), Some("/x"));
    assert_eq!((settings.listen.port(), settings.guests, settings.shards), (0, Some(false), 2));
    let settings = parse("tidings").unwrap().serve.settings().unwrap();
    assert_eq!((settings.listen.to_string().as_str(), settings.guests), ("127.0.0.1:8000", None));
    let cli =
        parse("tidings serve --allow-origin https://a.example --allow-origin https://b.example").unwrap();
    let Some(Command::Serve(args)) = cli.command else { panic!("{cli:?}") };
    assert_eq!(args.settings().unwrap().allowed_origins, ["https://a.example", "https://b.example"]);
}

#[test]
fn requests_have_as_many_threads_as_was_said_or_half_of_the_processors() {
    let threads = |line: &str| parse(line).unwrap().threads().unwrap();
    assert_eq!((threads("tidings --threads 1"), threads("tidings serve --threads 256")), (1, 256));
    let half = std::thread::available_parallelism().unwrap().get().div_ceil(2);
    assert_eq!((threads("tidings"), threads("tidings token --user ann")), (half, half));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tidings.toml");
    let line = format!("tidings --config {}", file.display());
    for (text, expected) in [("threads = 3", Some(3)), ("threads = 0", None), ("threads = 257", None)] {
        std::fs::write(&file, text).unwrap();
        assert_eq!(parse(&line).unwrap().threads().ok(), expected, "{text}");
    }
}

#[test]
fn where_an_issuer_has_its_keys_is_said_on_the_line_or_in_the_file() {
    use crate::key_set::KeySource;

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tidings.toml");
    let settings = |options: &str| {
        let line = format!("tidings --config {}{options}", file.display());
        parse(&line).unwrap().serve.settings()
    };
    std::fs::write(&file, "").unwrap();
    let none = settings("").unwrap();
    assert_eq!((none.jwks, none.expected), (None, Expected::default()));
    std::fs::write(&file, "jwks = \"/etc/jwks.json\"\ntoken_audience = [\"a\"]\ntoken_issuer = \"us\"")
        .unwrap();
    let found = settings("").unwrap();
    assert_eq!(found.jwks, Some(KeySource::File("/etc/jwks.json".into())));
    assert_eq!(found.expected, Expected { audiences: vec!["a".to_owned()], issuer: Some("us".to_owned()) });
    let found =
        settings(" --jwks https://h/jwks --token-audience b --token-audience c --token-issuer them").unwrap();
    assert_eq!(found.jwks.unwrap().to_string(), "https://h/jwks");
    assert_eq!(found.expected.audiences, ["b", "c"]);
    assert_eq!(found.expected.issuer.as_deref(), Some("them"));
    std::fs::write(&file, "jwks = \"https://u:hunter2@h\"").unwrap();
    let error = format!("{:#}", settings("").unwrap_err());
    assert!(error.contains("jwks in the settings file") && !error.contains("hunter2"), "{error}");
}

#[test]
fn only_a_node_without_sessions_lets_brokers_wait() {
    for (role, unhurried) in
        [("ingest", true), ("ingest,store", true), ("fanout", false), ("ingest,fanout", false)]
    {
        let line = format!("tidings --role {role} --log kafka://k:1/t --history scylla://s:1/t");
        let Backing::Servers(servers) = parse(&line).unwrap().serve.settings().unwrap().backing else {
            panic!()
        };
        assert_eq!(servers.log == servers.log.clone().unhurried(), unhurried, "{role}");
    }
}

#[test]
fn wrong_usage_is_refused_with_code_2() {
    for line in [
        "tidings import",
        "tidings token",
        "tidings token --user ann --conversation a/b",
        "tidings token --user ann --conversation tea --admin",
        "tidings --jwks ftp://h/jwks",
        "tidings --jwks https://u:p@h/jwks",
        "tidings serve --shards 0",
        "tidings serve --threads 0",
        "tidings serve --threads 257",
        "tidings --guests maybe",
        "tidings --data x token --user ann",
        "tidings replay --conversation a/b",
        "tidings replay --conversation tea --speed 0",
        "tidings export --conversation tea --format xml",
        "tidings export --conversation tea --from -1",
        "tidings export --conversation tea --as-of yesterday",
        "tidings list --url ftp://x --token t",
        "tidings list --url http://x --token t --data y",
        "tidings bench post --rate 0",
        "tidings bench fanout --sessions 9",
        "tidings bench fanout --only everything",
        "tidings bench scale --sessions 100 --sessions 9",
        "tidings bench cores --sessions 9",
        "tidings bench unwatched --events 0",
        "tidings bench ingest --seconds 0",
        "tidings bench project --events 0",
        "tidings bench slow --sessions 1",
        "tidings bench replay --events 0",
    ] {
        assert_eq!(refused(line).exit_code(), 2, "{line}");
    }
}

#[test]
fn a_server_elsewhere_needs_a_token() {
    if std::env::var_os("TIDINGS_TOKEN").is_none() {
        assert!(refused("tidings list --url http://127.0.0.1:1").to_string().contains("TIDINGS_TOKEN"));
    }
    assert!(parse("tidings list --url http://127.0.0.1:1 --token t").is_ok());
}

#[test]
fn every_command_tells_what_it_is_for_and_gives_examples() {
    let mut cli = Cli::command();
    cli.build();
    for command in cli.get_subcommands_mut().filter(|command| command.get_name() != "help") {
        let name = command.get_name().to_owned();
        let command = match command.find_subcommand_mut("post") {
            Some(post) => post,
            None => command,
        };
        let help = command.render_long_help().to_string();
        assert!(help.contains("Examples:") && help.contains("tidings "), "{name}");
    }
}

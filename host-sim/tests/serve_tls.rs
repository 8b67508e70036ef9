//! The NBD server with TLS: with it everything, without it nothing.

mod serving;

use std::{fs, io::Write, net::TcpStream, path::Path, process::Command, time::Duration};

use serving::{
    Bench, SIZE, Server,
    client::{ACK, Client, Stream, info_query},
    has, run,
};

const ERR_TLS_REQD: u32 = (1 << 31) + 5;
const SOON: Duration = Duration::from_secs(5);

impl Stream for TcpStream {
    fn hurry(&self, timeout: Duration) {
        self.set_read_timeout(Some(timeout)).unwrap();
    }
}

/// Certificates of an authority, a server and a client, each in a directory as NBD programs want it; `None` without openssl.
fn certificates(bench: &Bench) -> Option<()> {
    if !has("openssl") {
        return None;
    }
    let dir = bench.path("");
    let openssl = |line: &str| run(&dir, &[&["openssl"], &line.split(' ').collect::<Vec<_>>()[..]].concat());
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2";
    openssl(&format!("req -x509 {key} -subj /CN=authority -keyout ca-key.pem -out ca-cert.pem"));
    for (who, names) in
        [("server", "subjectAltName=DNS:localhost,IP:127.0.0.1"), ("client", "extendedKeyUsage=clientAuth")]
    {
        openssl(&format!(
            "req -x509 {key} -subj /CN={who} -addext {names} -addext basicConstraints=critical,CA:FALSE \
             -CA ca-cert.pem -CAkey ca-key.pem -keyout {who}-key.pem -out {who}-cert.pem"
        ));
    }
    for (to, files) in [
        ("open", &["server-cert.pem", "server-key.pem"][..]),
        ("closed", &["server-cert.pem", "server-key.pem", "ca-cert.pem"]),
        ("guest", &["ca-cert.pem"]),
        ("member", &["ca-cert.pem", "client-cert.pem", "client-key.pem"]),
    ] {
        fs::create_dir(dir.join(to)).unwrap();
        for file in files {
            fs::copy(dir.join(file), dir.join(to).join(file)).unwrap();
        }
    }
    Some(())
}

fn port(server: &Server) -> String {
    server.uri.strip_prefix("nbds://127.0.0.1:").unwrap().trim_end_matches('/').to_owned()
}

fn uri(bench: &Bench, server: &Server, who: &str) -> String {
    format!("nbds://localhost:{}/vm?tls-certificates={}", port(server), bench.path(who).display())
}

fn succeeds(dir: &Path, words: &[&str]) -> bool {
    Command::new(words[0]).args(&words[1..]).current_dir(dir).output().unwrap().status.success()
}

#[test]
fn nothing_but_the_wish_for_tls_is_answered_in_the_clear() {
    let bench = Bench::new();
    let Some(()) = certificates(&bench) else { return };
    let server = bench.serve(&["--tcp", "0", "--tls-certificates", "open"]);
    let connect = || Client::new(TcpStream::connect(format!("127.0.0.1:{}", port(&server))).unwrap());
    let mut client = connect();
    for option in [3, 6, 7, 8, 9, 10] {
        assert_eq!(client.option(option, &info_query("vm", &[]))[0].0, ERR_TLS_REQD);
    }
    client.send_option(1, b"vm");
    assert!(client.is_ended(SOON));
    let mut client = connect();
    assert_eq!(client.option(5, b"")[0].0, ACK);
    // What is said in the clear after that is not taken for an option.
    client.send_option(7, &info_query("vm", &[]));
    assert!(client.is_ended(SOON));
    let mut client = connect();
    assert_eq!(client.option(5, b"")[0].0, ACK);
    client.stream.write_all(&[0x16, 3, 1]).unwrap();
    drop(client);
    server.ends_well();
}

#[test]
fn data_goes_through_tls_both_ways_and_the_server_ends_with_clients_connected() {
    let bench = Bench::new();
    if certificates(&bench).is_none() || !has("nbdcopy") {
        return;
    }
    let server = bench.serve(&["--tcp", "0", "--tls-certificates", "open"]);
    let image: Vec<u8> = (0..SIZE).map(|i| u8::try_from(((i * 31) >> 8) & 0xff).unwrap()).collect();
    fs::write(bench.path("image"), &image).unwrap();
    let (dir, vm) = (bench.path(""), uri(&bench, &server, "guest"));
    run(&dir, &["nbdcopy", "--flush", "image", &vm]);
    run(&dir, &["nbdcopy", &vm, "back"]);
    assert!(fs::read(bench.path("back")).unwrap() == image);
    assert!(!succeeds(&dir, &["nbdinfo", &format!("nbd://localhost:{}/vm", port(&server))]));
    server.ends_well();
    assert!(bench.content("vm") == image);
}

#[test]
fn with_an_authority_clients_need_a_certificate() {
    let bench = Bench::new();
    if certificates(&bench).is_none() || !has("nbdinfo") {
        return;
    }
    let server = bench.serve(&["--tcp", "0", "--tls-certificates", "closed"]);
    let dir = bench.path("");
    assert!(!succeeds(&dir, &["nbdinfo", &uri(&bench, &server, "guest")]));
    run(&dir, &["nbdinfo", &uri(&bench, &server, "member")]);
    server.ends_well();
}

//! `demo`: the whole program on loopback.

use super::NOT_OK;
use super::output::{error, failure, line, look, print};
use crate::app::control_plane;
use crate::app::demo::{Demo, DemoError, SERVER_NAME};
use crate::certs::Store;
use crate::check::render::render;
use crate::check::report::Verdict;
use crate::config::{Log, LogFormat};
use crate::telemetry::log::{self, Chain};
use std::path::Path;

/// The file that the printed curl lines need.
const ROOT_FILE: &str = "root.pem";

/// Runs the demo; with `once`, only until its verdict.
pub(super) fn demo(once: bool) -> u8 {
    log::start(&Log { level: "warn".to_owned(), format: LogFormat::Text });
    let ended = control_plane(async {
        let mut demo = Demo::start().await?;
        line("vestibule demo: the real program on loopback, a stub homeserver behind it.\n");
        let report = demo.check().await;
        print(&render(&report, look()));
        if !once {
            try_it(&mut demo).await;
        }
        demo.stop().await?;
        Ok::<_, DemoError>(report.verdict)
    });
    match ended {
        Ok(Ok(Verdict::Federates)) => 0,
        Ok(Ok(_)) => NOT_OK,
        Ok(Err(failed)) => failure(&failed),
        Err(failed) => failure(&failed),
    }
}

/// Prints what to type, and serves until a signal.
async fn try_it(demo: &mut Demo) {
    let folder = std::env::temp_dir().join(format!("vestibule-demo-{}", std::process::id()));
    let written = async { Store::directory(&folder)?.store(ROOT_FILE, demo.root_pem.as_bytes()).await };
    if let Err(failed) = written.await {
        error(&Chain(&failed));
    }
    print(&instructions(demo, &folder.join(ROOT_FILE)));
    // SIGINT and SIGTERM are the program's own to handle, here as in `run`.
    demo.ended().await;
    line("");
    // Only the public root is in it; a leftover would be a nuisance, not a leak.
    let _ = std::fs::remove_dir_all(&folder);
}

fn instructions(demo: &Demo, root: &Path) -> String {
    let root = root.display();
    // As it was started: it need not be on the PATH.
    let program = std::env::current_exe().map_or_else(|_| "vestibule".to_owned(), |path| path.display().to_string());
    let (https, federation, http) = (demo.https, demo.federation, demo.http);
    let curl = format!("curl --cacert {root} --connect-to {SERVER_NAME}:443:{https}");
    format!(
        "\nTry it (the CA lives in memory; only its root is in {root}, until you stop):\n\n\
         # what peers and clients ask first\n\
         {curl} https://{SERVER_NAME}/.well-known/matrix/server\n\
         {curl} https://{SERVER_NAME}/.well-known/matrix/client\n\n\
         # forwarded to the stub homeserver\n\
         {curl} https://{SERVER_NAME}/_matrix/federation/v1/version\n\
         {curl} https://{SERVER_NAME}/_matrix/key/v2/server\n\n\
         # without delegation, on the federation listener\n\
         curl --cacert {root} --connect-to {SERVER_NAME}:8448:{federation} https://{SERVER_NAME}:8448/_matrix/federation/v1/version\n\n\
         # closed to the world\n\
         {curl} https://{SERVER_NAME}/_synapse/admin/v1/users\n\n\
         # port 80 leads to https, but never with a token\n\
         curl -i --connect-to {SERVER_NAME}:80:{http} http://{SERVER_NAME}/\n\
         curl -i --connect-to {SERVER_NAME}:80:{http} http://{SERVER_NAME}/_matrix/client/versions\n\n\
         # the same check again, from outside\n\
         {program} check {SERVER_NAME} --private --ca-file {root} --connect-to {SERVER_NAME}:443:{https} --connect-to {SERVER_NAME}:8448:{federation}\n\n\
         Serving until Ctrl-C.\n"
    )
}

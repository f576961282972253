//! The manual page: one for the program and all its commands.

use super::args::{Arguments, ConfigArguments};
use crate::config::{DEFAULT_PATH, ENVIRONMENT};
use clap::{ArgAction, Args as _, Command, CommandFactory as _};
use clap_mangen::Man;
use std::io;

/// Renders the page, in roff.
pub(super) fn page() -> io::Result<String> {
    let command = Arguments::command();
    let man = Man::new(command.clone());
    let mut out = Vec::new();
    man.render_title(&mut out)?;
    // Justified text tears the short lines of option lists apart.
    out.extend_from_slice(b".ad l\n.nh\n");
    man.render_name_section(&mut out)?;
    out.extend_from_slice(b".SH SYNOPSIS\n\\fBvestibule\\fR \\fICOMMAND\\fR [\\fIOPTIONS\\fR]\n");
    man.render_description_section(&mut out)?;
    out.extend_from_slice(b".SH COMMANDS\n");
    describe(&command, "vestibule", &mut out)?;
    out.extend_from_slice(
        b".SH CONFIGURATION OPTIONS\nWhere the configuration comes from. A flag beats the environment, which beats the file.\n",
    );
    options(configuration(), &mut out)?;
    out.extend_from_slice(b".SH ENVIRONMENT\n");
    let variables = ENVIRONMENT.iter().map(|(name, key)| (*name, *key));
    for (name, key) in std::iter::once(("VESTIBULE_CONFIG", "the configuration file")).chain(variables) {
        entry(&mut out, &format!("\\fB{name}\\fR"), &format!("Sets {key}."));
    }
    entry(&mut out, "\\fBNO_COLOR\\fR", "Not empty: no colours, on a terminal either.");
    entry(&mut out, "\\fBCLICOLOR_FORCE\\fR", "Neither empty nor 0: colours, into a pipe too.");
    out.extend_from_slice(b".SH FILES\n");
    let configuration = "The configuration; one line is enough: server_name = \"example.com\". Files in conf.d/*.toml \
                         beside it are merged in name order.";
    entry(&mut out, &format!("\\fI{DEFAULT_PATH}\\fR"), configuration);
    let state = "Keys, certificates and CA accounts, unless state_dir says otherwise.";
    entry(&mut out, "\\fI/var/lib/vestibule\\fR", state);
    let socket = "Where a running vestibule takes commands, unless listen.admin says otherwise.";
    entry(&mut out, "\\fI/run/vestibule/admin.sock\\fR", socket);
    out.extend_from_slice(
        b".SH SEE ALSO\n.BR vestibule\\-findings (7),\nwhat the check finds and what to do about it.\n",
    );
    Ok(String::from_utf8_lossy(&out).into_owned())
}

fn entry(out: &mut Vec<u8>, term: &str, text: &str) {
    out.extend_from_slice(format!(".TP\n{term}\n{text}\n").as_bytes());
}

/// The options that several commands share, described once.
fn configuration() -> Command {
    ConfigArguments::augment_args(Command::new("configuration")).disable_help_flag(true)
}

/// A subsection for each command, with what is its own.
fn describe(command: &Command, name: &str, out: &mut Vec<u8>) -> io::Result<()> {
    let shared = configuration();
    let is_shared = |argument: &clap::Arg| shared.get_arguments().any(|other| other.get_id() == argument.get_id());
    for child in command.get_subcommands() {
        let name = format!("{name} {}", child.get_name());
        if child.has_subcommands() {
            describe(child, &name, out)?;
            continue;
        }
        let positional = child.get_positionals().map(|argument| match argument.is_required_set() {
            true => format!(" {}", value_name(argument)),
            false => format!(" [{}]", value_name(argument)),
        });
        out.extend_from_slice(format!(".SS {name}{}\n", positional.collect::<String>()).as_bytes());
        let own = child.get_arguments().filter(|argument| !is_shared(argument)).cloned();
        let mut command = Command::new("command").disable_help_flag(true).args(own);
        if let Some(about) = child.get_about() {
            command = command.about(about.clone());
        }
        if let Some(about) = child.get_long_about() {
            command = command.long_about(about.clone());
        }
        let mut section = Vec::new();
        Man::new(command.clone()).render_description_section(&mut section)?;
        append(&section, out);
        if child.get_arguments().any(is_shared) {
            out.extend_from_slice(b".PP\nTakes the CONFIGURATION OPTIONS below.\n");
        }
        if command.get_arguments().next().is_some() {
            options(command, out)?;
        }
    }
    Ok(())
}

fn value_name(argument: &clap::Arg) -> String {
    let name = argument.get_value_names().map_or_else(|| argument.get_id().to_string(), |names| names.join(" "));
    match argument.get_action() {
        ArgAction::Append => format!("{name} ..."),
        _ => name,
    }
}

fn options(command: Command, out: &mut Vec<u8>) -> io::Result<()> {
    let mut section = Vec::new();
    Man::new(command).render_options_section(&mut section)?;
    append(&section, out);
    Ok(())
}

/// What is a section of its own there is a part of one here.
fn append(section: &[u8], out: &mut Vec<u8>) {
    let text = String::from_utf8_lossy(section);
    let kept = text.lines().filter(|line| ![".SH", ".ie", ".el"].iter().any(|request| line.starts_with(request)));
    for line in kept {
        out.extend_from_slice(line.as_bytes());
        out.push(b'\n');
    }
}

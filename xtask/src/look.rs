//! Where programs are, which of two versions is newer, and which port is free.

use std::{
    fs, io,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::Command,
};

/// A program in one of the folders of `PATH`.
pub(crate) fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// The folders within one whose names start so, newest version first.
pub(crate) fn newest_first(folder: &Path, start: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok()).filter(|name| name.starts_with(start));
    by_version(names.collect()).into_iter().map(|name| folder.join(name)).collect()
}

/// A name without a version is the newest: it is the one that a package manager keeps up to date.
fn by_version(mut names: Vec<String>) -> Vec<String> {
    names.sort_by_key(|name| std::cmp::Reverse((!name.contains(|c: char| c.is_ascii_digit()), numbers(name))));
    names
}

/// The numbers in a version, or in whatever it stands in.
pub(crate) fn numbers(text: &str) -> Vec<u32> {
    text.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect()
}

/// The first line that a program says of itself.
pub(crate) fn version(program: &Path) -> Option<String> {
    let output = Command::new(program).arg("--version").output().ok()?;
    String::from_utf8_lossy(&output.stdout).lines().next().map(str::to_owned)
}

/// Starts something on a port that is free, and on another one if somebody takes it in between.
pub(crate) fn on_free_port<T>(start: impl Fn(u16) -> Result<T, String>) -> Result<T, String> {
    let mut tries = 3;
    loop {
        let port = free_port().map_err(|error| format!("no free port on 127.0.0.1: {error}"))?;
        tries -= 1;
        match start(port) {
            Err(error) if tries > 0 && error.contains("already in use") => {}
            other => return other,
        }
    }
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(names: &[&str]) -> Vec<String> {
        by_version(names.iter().map(|&name| name.to_owned()).collect())
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        assert_eq!(sorted(&["9.6", "15", "9.10", "17"]), ["17", "15", "9.10", "9.6"]);
    }

    #[test]
    fn a_folder_without_a_version_comes_first() {
        assert_eq!(sorted(&["postgresql@9.6", "postgresql", "postgresql@16"]), ["postgresql", "postgresql@16", "postgresql@9.6"]);
    }

    #[test]
    fn a_port_that_somebody_took_is_given_up_for_another_and_no_other_error_is_tried_again() {
        let tried = std::cell::Cell::new(0);
        let start = |error: &'static str| {
            tried.set(0);
            on_free_port(|_| {
                tried.set(tried.get() + 1);
                if tried.get() < 3 { Err(error.to_owned()) } else { Ok(()) }
            })
        };
        assert_eq!(start("Address already in use"), Ok(()));
        assert_eq!(start("no such file"), Err("no such file".to_owned()));
        assert_eq!(tried.get(), 1);
    }
}

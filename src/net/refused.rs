//! Why an address cannot be listened on, in words of its own for each reason, and with the option to change.

use std::io;
use std::net::{SocketAddr, UdpSocket};

/// What is told where `who` cannot listen on `wanted`, which `option` names and people know as `shown`.
pub(crate) fn refused(who: &str, option: &str, shown: &str, wanted: SocketAddr, error: &io::Error) -> String {
    let lead = format!("{who} cannot listen on {shown} ({option})");
    match error.kind() {
        io::ErrorKind::AddrInUse if is_elsewhere(wanted) => format!(
            "{lead}: no interface of this machine has {}, and another program has port {} on every address. \
             Correct {option}, or stop the other one",
            wanted.ip(),
            wanted.port()
        ),
        io::ErrorKind::AddrInUse => format!(
            "{lead}: the port is taken. Is another router running? Stop it, choose another port with {option}, or \
             run this one beside it with --set node.instance=2"
        ),
        io::ErrorKind::AddrNotAvailable => format!(
            "{lead}: no interface of this machine has {} now. Correct {option}, or set the address up",
            wanted.ip()
        ),
        io::ErrorKind::PermissionDenied => {
            format!("{lead}: not allowed. Choose a port from 1024 up with {option}, or run as root")
        }
        _ => format!("{lead}: {error}. Correct {option}"),
    }
}

/// Whether no interface has the address: then it cannot be taken for a port of its own.
fn is_elsewhere(wanted: SocketAddr) -> bool {
    let mut own = wanted;
    own.set_port(0);
    !wanted.ip().is_unspecified()
        && UdpSocket::bind(own).is_err_and(|error| error.kind() == io::ErrorKind::AddrNotAvailable)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(kind: io::ErrorKind, address: &str) -> String {
        refused("it", "clients.listen", address, address.parse().unwrap(), &kind.into())
    }

    #[test]
    fn each_reason_has_its_own_words_and_all_name_the_option() {
        let taken = told(io::ErrorKind::AddrInUse, "127.0.0.1:80");
        assert!(taken.contains("the port is taken") && taken.ends_with("--set node.instance=2"), "{taken}");
        // 192.0.2.0/24 is for documentation (RFC 5737): nobody has it.
        let elsewhere = told(io::ErrorKind::AddrInUse, "192.0.2.1:80");
        assert!(elsewhere.contains("no interface of this machine has 192.0.2.1"), "{elsewhere}");
        let missing = told(io::ErrorKind::AddrNotAvailable, "192.0.2.1:80");
        assert!(missing.contains("no interface") && !missing.contains("taken"), "{missing}");
        let forbidden = told(io::ErrorKind::PermissionDenied, "127.0.0.1:80");
        assert!(forbidden.ends_with("or run as root") && !forbidden.contains("taken"), "{forbidden}");
        for text in [taken, elsewhere, missing, forbidden, told(io::ErrorKind::Other, "[::1]:80")] {
            assert!(text.starts_with("it cannot listen on ") && text.contains("(clients.listen)"), "{text}");
        }
    }
}

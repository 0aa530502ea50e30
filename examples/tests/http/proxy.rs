//! A proxy that gives each connection to the next of its servers in turn, as a load balancer does.

use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;

/// Starts a proxy that lives as long as the test; returns its address.
pub(crate) fn round_robin(servers: Vec<String>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for (near, server) in listener.incoming().flatten().zip(servers.iter().cycle()) {
            let far = TcpStream::connect(server).unwrap();
            pipe(near.try_clone().unwrap(), far.try_clone().unwrap());
            pipe(far, near);
        }
    });
    address
}

/// Copies until one side closes, and closes the other.
fn pipe(mut from: TcpStream, mut to: TcpStream) {
    thread::spawn(move || {
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Both);
    });
}

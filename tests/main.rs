//! The whole program, as people and devices meet it. One test program for all of
//! it, so that it is linked once and its tests, which mostly wait, wait together:
//! `cargo test --test program disk::` runs those of one file.

mod common;
mod legacy;

mod bad_input;
mod commands;
mod config;
mod control;
mod default_server;
mod demo;
mod discovery;
mod disk;
mod disk_failing;
mod disk_replaced;
mod doors;
mod extra_servers;
mod hosts_file;
mod mesh;
mod mesh_net;
mod mesh_shown;
mod names;
mod netns;
mod openwrt;
mod python_websockets;
mod radio;
mod readme;
mod reload;
mod steady;
mod store_kill;
mod voice;

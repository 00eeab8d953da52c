// SPDX-License-Identifier: MIT OR Apache-2.0
//! The overlay's cores, as bindgen sees them: made by `cargo xtask codegen`; changes are lost.
//! What each thing is stands in `overlay/src/net/udp/slam_core.h`.

pub const SLAM_PARITY_WINDOW_BITS: u32 = 7;
pub const SLAM_PARITY_WINDOW: u32 = 128;
pub const SLAM_PARITY_ROWS: u32 = 128;
pub const SLAM_PARITY_MAX_MISSING: u32 = 32;
pub const SLAM_CORE_MAX_INT: u32 = 7;
pub const SLAM_CORE_NUL: u32 = 0;
pub const SLAM_CORE_GROUP_IPV4: u32 = 6;
pub const SLAM_CORE_GROUP_IPV6: u32 = 18;
pub const SLAM_CORE_MAX_PACKET: u32 = 1452;
pub const SLAM_CORE_MAX_BLOCK: u32 = 65507;
#[repr(C)]
#[repr(align(8))]
#[derive(Debug, Copy, Clone)]
pub struct slam_parity_block {
    pub _bindgen_opaque_blob: [u64; 2usize],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct slam_parity_solution {
    pub count: u32,
    pub len: usize,
    pub next: u32,
    pub missing: [u8; 32usize],
    pub sums: [*mut slam_parity_block; 32usize],
    pub matrix: [[u8; 32usize]; 32usize],
}
pub const SLAM_CORE_MULTICAST: slam_core_kind = 0;
pub const SLAM_CORE_UNICAST: slam_core_kind = 1;
pub const SLAM_CORE_TIMEOUT: slam_core_kind = 2;
pub const SLAM_CORE_STOP: slam_core_kind = 3;
pub type slam_core_kind = ::core::ffi::c_uint;
pub const SLAM_CORE_ACCEPTED: slam_core_rejection = 0;
pub const SLAM_CORE_TRUNCATED: slam_core_rejection = 1;
pub const SLAM_CORE_INT_LENGTH: slam_core_rejection = 2;
pub const SLAM_CORE_BLOCK_SIZE: slam_core_rejection = 3;
pub const SLAM_CORE_EMPTY_TRANSFER: slam_core_rejection = 4;
pub const SLAM_CORE_BLOCK_NUMBER: slam_core_rejection = 5;
pub const SLAM_CORE_BLOCK_LENGTH: slam_core_rejection = 6;
pub const SLAM_CORE_TOO_LARGE: slam_core_rejection = 7;
pub const SLAM_CORE_NO_MEMORY: slam_core_rejection = 8;
pub const SLAM_CORE_SOLICIT_TO_GROUP: slam_core_rejection = 9;
pub const SLAM_CORE_DATA_TO_CLIENT: slam_core_rejection = 10;
pub const SLAM_CORE_FOREIGN: slam_core_rejection = 11;
pub const SLAM_CORE_GROUP: slam_core_rejection = 12;
pub type slam_core_rejection = ::core::ffi::c_uint;
pub const SLAM_CORE_RUNNING: slam_core_end = 0;
pub const SLAM_CORE_COMPLETE: slam_core_end = 1;
pub const SLAM_CORE_STOPPED: slam_core_end = 2;
pub const SLAM_CORE_NO_SERVER: slam_core_end = 3;
pub const SLAM_CORE_NO_DATA: slam_core_end = 4;
pub const SLAM_CORE_SILENT: slam_core_end = 5;
pub const SLAM_CORE_REFUSED: slam_core_end = 6;
pub const SLAM_CORE_UNSTABLE: slam_core_end = 7;
pub const SLAM_CORE_DISMISSED: slam_core_end = 8;
pub type slam_core_end = ::core::ffi::c_uint;
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct slam_core_wait {
    pub shortest: u32,
    pub longest: u32,
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct slam_core_config {
    pub first_nack: slam_core_wait,
    pub introduce: slam_core_wait,
    pub silence: slam_core_wait,
    pub stall: slam_core_wait,
    pub max_doublings: u32,
    pub max_restarts: u32,
    pub max_parity: u32,
    pub group_len: u32,
    pub give_up: u64,
    pub max_bytes: u64,
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct slam_core_hooks {
    pub alloc: ::core::option::Option<
        unsafe extern "C" fn(
            context: *mut ::core::ffi::c_void,
            len: usize,
        ) -> *mut ::core::ffi::c_void,
    >,
    pub free: ::core::option::Option<
        unsafe extern "C" fn(
            context: *mut ::core::ffi::c_void,
            data: *mut ::core::ffi::c_void,
            len: usize,
        ),
    >,
    pub context: *mut ::core::ffi::c_void,
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct slam_core_header {
    pub transaction: u64,
    pub total_bytes: u64,
    pub block_size: u32,
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct slam_core_packet {
    pub header: slam_core_header,
    pub is_data: ::core::ffi::c_int,
    pub is_dismissal: ::core::ffi::c_int,
    pub group: *const u8,
    pub group_len: usize,
    pub is_parity: ::core::ffi::c_int,
    pub block: u64,
    pub row: u8,
    pub payload: *const u8,
    pub payload_len: usize,
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct slam_core {
    pub config: slam_core_config,
    pub hooks: slam_core_hooks,
    pub header: slam_core_header,
    pub group: [u8; 18usize],
    pub moved: ::core::ffi::c_int,
    pub count: u64,
    pub held: u64,
    pub first_gap: u64,
    pub map: *mut u8,
    pub map_len: usize,
    pub parity: *mut slam_parity_block,
    pub kept: u32,
    pub solution: slam_parity_solution,
    pub solved: u64,
    pub end: slam_core_end,
    pub random: u64,
    pub fruitless: u32,
    pub silence: u64,
    pub silent_until: u64,
    pub stalled_until: u64,
    pub dead_at: u64,
    pub data: u64,
    pub duplicates: u64,
    pub rebuilt: u64,
    pub solicits: u64,
    pub nacks: u64,
    pub rejected: u64,
    pub last_rejection: slam_core_rejection,
    pub refused_bytes: u64,
    pub restarts: u32,
    pub server_heard: ::core::ffi::c_int,
    pub foreign_taken: ::core::ffi::c_int,
    pub packet: [u8; 1452usize],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct slam_core_actions {
    pub started: ::core::ffi::c_int,
    pub restarted: ::core::ffi::c_int,
    pub payload: *const u8,
    pub payload_len: usize,
    pub offset: u64,
    pub rebuild: ::core::ffi::c_int,
    pub regroup: ::core::ffi::c_int,
    pub send: *const u8,
    pub send_len: usize,
    pub end: slam_core_end,
    pub wake: u64,
}
unsafe extern "C" {
    pub fn slam_core_defaults(config: *mut slam_core_config);
    pub fn slam_core_init(
        core: *mut slam_core,
        config: *const slam_core_config,
        hooks: *const slam_core_hooks,
        seed: u64,
        now: u64,
    );
    pub fn slam_core_free(core: *mut slam_core);
    pub fn slam_core_heed(
        core: *mut slam_core,
        from_server: ::core::ffi::c_int,
    ) -> ::core::ffi::c_int;
    pub fn slam_core_input(
        core: *mut slam_core,
        kind: slam_core_kind,
        data: *const u8,
        len: usize,
        now: u64,
        actions: *mut slam_core_actions,
    );
    pub fn slam_core_rebuild_read(
        core: *const slam_core,
        column: ::core::ffi::c_uint,
        offset: *mut u64,
    ) -> usize;
    pub fn slam_core_rebuild_add(
        core: *mut slam_core,
        column: ::core::ffi::c_uint,
        data: *const u8,
        len: usize,
    );
    pub fn slam_core_rebuild_block(
        core: *mut slam_core,
        offset: *mut u64,
        len: *mut usize,
    ) -> *const u8;
    pub fn slam_core_count(header: *const slam_core_header) -> u64;
    pub fn slam_core_block_len(header: *const slam_core_header, offset: u64) -> usize;
    pub fn slam_core_windows(count: u64) -> u64;
    pub fn slam_core_int_len(value: u64) -> usize;
    pub fn slam_core_put_int(value: u64, out: *mut u8) -> usize;
    pub fn slam_core_pull_int(
        data: *const u8,
        len: usize,
        used: *mut usize,
        value: *mut u64,
    ) -> slam_core_rejection;
    pub fn slam_core_decode(
        data: *const u8,
        len: usize,
        packet: *mut slam_core_packet,
    ) -> slam_core_rejection;
    pub fn slam_core_build_nack(
        map: *const u8,
        first_gap: u64,
        count: u64,
        out: *mut u8,
        max_len: usize,
    ) -> usize;
    pub fn slam_core_draw(random: *mut u64, span: u32) -> u32;
    pub fn slam_core_draw_late(random: *mut u64, span: u32) -> u32;
}

//! Frames (RFC 9113 §3 to §6) and header blocks (RFC 7541) that break the protocol, and some that look as if they did.

use super::{Origin, Probe, Want, get, post, probe};
use crate::probes::rules::PATH;
use crate::support::h2_frames::{
    ACK, COMPRESSION_ERROR, CONTINUATION, DATA, ENABLE_PUSH, END_HEADERS, END_STREAM, FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR, GOAWAY, HEADERS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, PADDED, PING, PREFACE, PRIORITISED,
    PRIORITY, PROTOCOL_ERROR, PUSH_PROMISE, RST_STREAM, SETTINGS, STREAM_CLOSED, frame, settings, window_update,
};

const PROTOCOL: &[u32] = &[PROTOCOL_ERROR];
/// More than a server takes that has not said otherwise (RFC 9113 §4.2), and by more than a rounding.
const TOO_LARGE: usize = 16_385 + 65_536;
/// For the following, what counts is that the connection ends and the block or frame has no effect: the h2 crate calls
/// them all PROTOCOL_ERROR, which RFC 9113 §7 has for whatever is not told more precisely, and clients do nothing with
/// the difference.
const SIZE: &[u32] = &[FRAME_SIZE_ERROR, PROTOCOL_ERROR];
const FLOW: &[u32] = &[FLOW_CONTROL_ERROR, PROTOCOL_ERROR];
const COMPRESSION: &[u32] = &[COMPRESSION_ERROR, PROTOCOL_ERROR];
/// A stream that has ended is closed, and one with a lower number cannot be opened any more: both names fit.
const CLOSED: &[u32] = &[STREAM_CLOSED, PROTOCOL_ERROR];

pub fn table() -> Vec<Probe> {
    [prefaces(), streams(), sizes(), connection_frames(), blocks(), harmless()].concat()
}

fn prefaces() -> Vec<Probe> {
    let request = get("h2-preface-bad").block();
    let request = frame(HEADERS, END_HEADERS | END_STREAM, 1, request);
    vec![
        probe("h2-preface-bad")
            .rude()
            .bytes([&b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n"[..], &settings(&[]), &request].concat())
            .goaway(PROTOCOL)
            .or_silence()
            .origin(Origin::Nothing),
        probe("h2-preface-http-1")
            .rude()
            .bytes(format!("GET {PATH}h2-preface-http-1/ HTTP/1.1\r\nHost: hs.invalid\r\n\r\n"))
            .goaway(PROTOCOL)
            .or_silence()
            .origin(Origin::Nothing),
        probe("h2-preface-without-settings")
            .rude()
            .bytes(
                [PREFACE, &frame(HEADERS, END_HEADERS | END_STREAM, 1, get("h2-preface-without-settings").block())]
                    .concat(),
            )
            .goaway(PROTOCOL)
            .or_silence(),
        probe("h2-preface-twice").bytes(PREFACE).goaway(&[PROTOCOL_ERROR, FRAME_SIZE_ERROR]).or_silence(),
    ]
}

fn streams() -> Vec<Probe> {
    let whole = |id: &'static str, stream| probe(id).frame(HEADERS, END_HEADERS | END_STREAM, stream, get(id).block());
    vec![
        probe("h2-data-stream-0").frame(DATA, END_STREAM, 0, "hello").goaway(PROTOCOL),
        whole("h2-headers-stream-0", 0).goaway(PROTOCOL).origin(Origin::Nothing),
        whole("h2-headers-even-stream", 2).goaway(PROTOCOL).origin(Origin::Nothing),
        get("h2-headers-again")
            .alone()
            .frame(HEADERS, END_HEADERS | END_STREAM, 1, get("h2-headers-again").block())
            .want(
                // The first request may have been answered by then.
                Want::Error(CLOSED),
            ),
        whole("h2-headers-lower-stream", 5)
            .frame(HEADERS, END_HEADERS | END_STREAM, 3, get("h2-headers-lower-stream").block())
            .goaway(CLOSED),
        probe("h2-data-idle-stream").frame(DATA, END_STREAM, 1, "hello").goaway(PROTOCOL),
        post("h2-data-after-end")
            .open()
            .frame(DATA, END_STREAM, 1, "hello")
            .frame(DATA, END_STREAM, 1, "smuggled")
            .want(Want::StatusOrReset(&[200], CLOSED)),
        probe("h2-window-update-idle-stream").bytes(window_update(1, 1)).goaway(PROTOCOL),
        probe("h2-reset-idle-stream").frame(RST_STREAM, 0, 1, [0, 0, 0, 8]).goaway(PROTOCOL),
        probe("h2-reset-stream-0").frame(RST_STREAM, 0, 0, [0, 0, 0, 8]).goaway(PROTOCOL),
        probe("h2-continuation-alone")
            .frame(CONTINUATION, END_HEADERS, 1, get("h2-continuation-alone").block())
            .goaway(PROTOCOL),
        probe("h2-continuation-stream-0").frame(CONTINUATION, END_HEADERS, 0, "").goaway(PROTOCOL),
        get("h2-continuation-after-end").alone().frame(CONTINUATION, END_HEADERS, 1, "").goaway(CLOSED),
        probe("h2-continuation-other-stream")
            .frame(HEADERS, END_STREAM, 1, get("h2-continuation-other-stream").block())
            .frame(CONTINUATION, END_HEADERS, 3, "")
            .goaway(PROTOCOL)
            .origin(Origin::Nothing),
        probe("h2-continuation-ping-between")
            .frame(HEADERS, END_STREAM, 1, get("h2-continuation-ping-between").block())
            .frame(PING, 0, 0, b"12345678")
            .frame(CONTINUATION, END_HEADERS, 1, "")
            .goaway(PROTOCOL)
            .origin(Origin::Nothing),
        probe("h2-continuation-unknown-between")
            .frame(HEADERS, END_STREAM, 1, get("h2-continuation-unknown-between").block())
            .frame(0xee, 0, 1, "unknown")
            .frame(CONTINUATION, END_HEADERS, 1, "")
            .goaway(PROTOCOL)
            .origin(Origin::Nothing),
        probe("h2-push-promise")
            .frame(PUSH_PROMISE, END_HEADERS, 1, [&[0, 0, 0, 2][..], &get("h2-push-promise").block()].concat())
            .goaway(PROTOCOL),
        get("h2-headers-padding-too-long")
            .alone_with(HEADERS, END_HEADERS | END_STREAM | PADDED, |block| [&[255][..], &block[..20]].concat())
            .goaway(PROTOCOL)
            .origin(Origin::Nothing),
        post("h2-data-padding-too-long")
            .open()
            .frame(DATA, END_STREAM | PADDED, 1, [9, b'a'])
            .goaway(PROTOCOL)
            .origin(Origin::NothingWhole),
    ]
}

fn sizes() -> Vec<Probe> {
    vec![
        post("h2-data-too-large")
            .open()
            .frame(DATA, END_STREAM, 1, vec![b'a'; TOO_LARGE])
            .want(Want::TooLarge(TOO_LARGE))
            .origin(Origin::IfAny(|request| match request.body.len() {
                TOO_LARGE => Ok(()),
                _ if !request.whole => Ok(()),
                length => Err(format!("{length} bytes of body")),
            })),
        probe("h2-headers-too-large")
            .frame(HEADERS, END_HEADERS | END_STREAM, 1, vec![0; TOO_LARGE])
            .want(Want::TooLarge(TOO_LARGE)),
        probe("h2-unknown-too-large").frame(0xee, 0, 0, vec![0; TOO_LARGE]).want(Want::TooLarge(TOO_LARGE)),
        probe("h2-settings-5-bytes").frame(SETTINGS, 0, 0, [0; 5]).goaway(SIZE),
        probe("h2-settings-ack-with-payload").frame(SETTINGS, ACK, 0, [0; 6]).goaway(SIZE),
        probe("h2-ping-7-bytes").frame(PING, 0, 0, [0; 7]).goaway(SIZE),
        probe("h2-ping-9-bytes").frame(PING, 0, 0, [0; 9]).goaway(SIZE),
        probe("h2-window-update-3-bytes").frame(8, 0, 0, [0, 0, 1]).goaway(SIZE),
        get("h2-reset-3-bytes").open_then(RST_STREAM, [0, 0, 8]).goaway(SIZE),
        get("h2-priority-4-bytes").open_then(PRIORITY, [0, 0, 0, 0]).reset(SIZE),
        probe("h2-goaway-7-bytes").frame(GOAWAY, 0, 0, [0; 7]).goaway(SIZE).or_silence(),
    ]
}

fn connection_frames() -> Vec<Probe> {
    vec![
        probe("h2-settings-stream-1").frame(SETTINGS, 0, 1, []).goaway(PROTOCOL),
        probe("h2-settings-push-2").bytes(settings(&[(ENABLE_PUSH, 2)])).goaway(PROTOCOL),
        probe("h2-settings-window-2-31").bytes(settings(&[(INITIAL_WINDOW_SIZE, 1 << 31)])).goaway(FLOW),
        probe("h2-settings-frame-size-small").bytes(settings(&[(MAX_FRAME_SIZE, 16_383)])).goaway(PROTOCOL),
        probe("h2-settings-frame-size-large").bytes(settings(&[(MAX_FRAME_SIZE, 1 << 24)])).goaway(PROTOCOL),
        probe("h2-ping-stream-1").frame(PING, 0, 1, [0; 8]).goaway(PROTOCOL),
        probe("h2-goaway-stream-1").frame(GOAWAY, 0, 1, [0; 8]).goaway(PROTOCOL),
        probe("h2-priority-stream-0").frame(PRIORITY, 0, 0, [0, 0, 0, 0, 1]).goaway(PROTOCOL),
        probe("h2-window-update-zero").bytes(window_update(0, 0)).goaway(PROTOCOL),
        get("h2-window-update-zero-stream").open_then(8, [0; 4]).reset(PROTOCOL),
        probe("h2-window-overflow").bytes(window_update(0, 0x7fff_ffff)).goaway(FLOW),
        get("h2-window-overflow-stream").open_then(8, 0x7fff_ffff_u32.to_be_bytes()).reset(FLOW),
    ]
}

/// RFC 7541: a block that cannot be read leaves the two tables different for good.
fn blocks() -> Vec<Probe> {
    let block = |id, block: &[u8]| {
        let whole = [get(id).block(), block.to_vec()].concat();
        probe(id).frame(HEADERS, END_HEADERS | END_STREAM, 1, whole).goaway(COMPRESSION).origin(Origin::Nothing)
    };
    vec![
        block("h2-hpack-index-0", &[0x80]),
        block("h2-hpack-index-70", &[0x80 | 70]),
        block("h2-hpack-name-index-70", &[0x7f, 7, 1, b'a']),
        block("h2-hpack-cut", &[0x10, 3, b'x', b'-']),
        block("h2-hpack-length-endless", &[0x10, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
        // RFC 7541 §4.2: only at the start of a block.
        block("h2-hpack-size-at-end", &[0x20]),
        // RFC 7541 §5.2: padding longer than seven bits; the end-of-string symbol.
        block("h2-hpack-huffman-padding", &[0x10, 1, b'x', 0x82, 0x1f, 0xff]),
        block("h2-hpack-huffman-end", &[0x10, 1, b'x', 0x84, 0xff, 0xff, 0xff, 0xff]),
        probe("h2-hpack-size-too-large")
            .frame(
                HEADERS,
                END_HEADERS | END_STREAM,
                1,
                [&[0x3f, 0xe1, 0xff, 0x03][..], &get("h2-hpack-size-too-large").block()].concat(),
            )
            .goaway(COMPRESSION)
            .origin(Origin::Nothing),
    ]
}

/// What looks odd and is right.
fn harmless() -> Vec<Probe> {
    vec![
        probe("h2-unknown-frame").frame(0xee, 0xff, 0, "unknown").alive(),
        probe("h2-unknown-setting").bytes(settings(&[(0xbeef, 1), (9, 7)])).alive(),
        probe("h2-unknown-flags").frame(PING, 0xfe, 0, b"01234567").alive(),
        probe("h2-priority-idle-stream").frame(PRIORITY, 0, 3, [0, 0, 0, 0, 1]).alive(),
        probe("h2-empty-settings").bytes(settings(&[])).alive(),
        probe("h2-reserved-bit").frame(PING, 0, 0x8000_0000, b"01234567").alive(),
        get("h2-headers-split")
            .alone_with(HEADERS, END_STREAM, |block| block[..9].to_vec())
            .frame(CONTINUATION, 0, 1, &get("h2-headers-split").block()[9..40])
            .frame(CONTINUATION, END_HEADERS, 1, &get("h2-headers-split").block()[40..])
            .seen(|_| Ok(())),
        get("h2-headers-padded-prioritised")
            .alone_with(HEADERS, END_HEADERS | END_STREAM | PADDED | PRIORITISED, |block| {
                [&[3, 0, 0, 0, 0, 9][..], &block, &[0; 3]].concat()
            })
            .seen(|_| Ok(())),
        post("h2-data-padded").open().frame(DATA, END_STREAM | PADDED, 1, b"\x03hello\0\0\0").seen(|request| {
            if request.body == b"hello" { Ok(()) } else { Err(format!("the body {:?}", request.body)) }
        }),
        post("h2-data-bytewise")
            .open()
            .frame(DATA, 0, 1, "h")
            .frame(DATA, 0, 1, "el")
            .frame(DATA, 0, 1, "lo")
            .frame(DATA, END_STREAM, 1, "")
            .seen(
                |request| if request.body == b"hello" { Ok(()) } else { Err(format!("the body {:?}", request.body)) },
            ),
    ]
}

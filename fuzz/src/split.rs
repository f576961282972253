//! The ways in which a network may cut the same bytes.

/// Whole, byte by byte, and in uneven pieces that the bytes themselves choose. Empty bytes have no pieces.
pub(crate) fn splits(data: &[u8]) -> [Vec<&[u8]>; 3] {
    [data.chunks(data.len().max(1)).collect(), data.chunks(1).collect(), uneven(data)]
}

fn uneven(data: &[u8]) -> Vec<&[u8]> {
    // FNV-1a, then a step of xorshift a piece: any numbers will do, if they are the same the next time.
    let mut state = data
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
        | 1;
    let mut pieces = Vec::new();
    let mut rest = data;
    while !rest.is_empty() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let (piece, behind) = rest.split_at((state % 24 + 1).min(rest.len() as u64) as usize);
        pieces.push(piece);
        rest = behind;
    }
    pieces
}

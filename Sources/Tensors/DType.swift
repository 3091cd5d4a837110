/// The element type of a tensor.
public enum DType: String, Sendable, Hashable, CaseIterable {
    case f64, f32, f16, bf16
    /// 8-bit float with 4 exponent and 3 mantissa bits, no infinities (`F8_E4M3` of safetensors).
    case f8e4m3
    case i64, i32, i16, i8, u8, bool

    /// Bytes of one element.
    public var byteCount: Int {
        switch self {
        case .f64, .i64: 8
        case .f32, .i32: 4
        case .f16, .bf16, .i16: 2
        case .f8e4m3, .i8, .u8, .bool: 1
        }
    }
}

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Buckets of relative positions, half of them for each direction: exact up to a quarter, then logarithmic.
///
/// Source: transformers models/umt5/modeling_umt5.py `_relative_position_bucket` (bidirectional, float32 log).
public enum RelativePosition {
    /// - Parameter distance: key index - query index.
    public static func bucket(of distance: Int, buckets: Int, maximumDistance: Int) -> Int {
        let half = buckets / 2
        let exact = half / 2
        let side = distance > 0 ? half : 0
        let magnitude = abs(distance)
        guard magnitude >= exact else { return side + magnitude }
        let span = Float(log(Double(maximumDistance) / Double(exact)))
        let position = logf(Float(magnitude) / Float(exact)) / span * Float(half - exact)
        return side + min(exact + Int(position), half - 1)
    }
}

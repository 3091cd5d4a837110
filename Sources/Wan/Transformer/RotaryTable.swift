import Sampling

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Rotary position angles of (frame, row, column).
///
/// Of `headDim / 2` pairs, the rows and columns take a third (rounded down) each and the frames the rest:
/// 22 + 21 + 21 of 64. Angle = position * theta^(-i / pairs of that axis).
/// Source: Wan2.1 wan/modules/model.py `rope_params`, `rope_apply`.
public enum RotaryTable {
    static let theta = 10000.0

    /// Angles in radians, `[tokens, headDim / 2]`, tokens ordered frame, row, column (column fastest).
    public static func angles(geometry: LatentGeometry, headDim: Int) -> [Double] {
        let pairs = headDim / 2
        let spatial = pairs / 3
        let (frames, rows, columns) = (geometry.latentFrames, geometry.latentHeight / 2, geometry.latentWidth / 2)
        let byFrame = axis(frames, pairs - 2 * spatial)
        let byRow = axis(rows, spatial)
        let byColumn = axis(columns, spatial)
        var angles: [Double] = []
        angles.reserveCapacity(geometry.tokenCount * pairs)
        for frame in 0..<frames {
            for row in 0..<rows {
                for column in 0..<columns { angles += byFrame[frame] + byRow[row] + byColumn[column] }
            }
        }
        return angles
    }

    /// `[tokens, headDim / 2, 2]`: (cos, sin) of the angles, taken in float64.
    public static func values(geometry: LatentGeometry, headDim: Int) -> [Float] {
        let pairs = headDim / 2
        let spatial = pairs / 3
        let (frames, rows, columns) = (geometry.latentFrames, geometry.latentHeight / 2, geometry.latentWidth / 2)
        func turned(_ positions: Int, _ pairs: Int) -> [[Float]] {
            axis(positions, pairs).map { $0.flatMap { [Float(cos($0)), Float(sin($0))] } }
        }
        let byFrame = turned(frames, pairs - 2 * spatial)
        let byRow = turned(rows, spatial)
        let byColumn = turned(columns, spatial)
        var values: [Float] = []
        values.reserveCapacity(geometry.tokenCount * headDim)
        for frame in 0..<frames {
            for row in 0..<rows {
                let leading = byFrame[frame] + byRow[row]
                for column in 0..<columns {
                    values += leading
                    values += byColumn[column]
                }
            }
        }
        return values
    }

    private static func axis(_ positions: Int, _ pairs: Int) -> [[Double]] {
        let frequencies = (0..<pairs).map { pow(theta, -Double(2 * $0) / Double(2 * pairs)) }
        return (0..<positions).map { position in frequencies.map { Double(position) * $0 } }
    }
}

/// The timestep as sines and cosines: `[cos, sin]` of `timestep * 10000^(-i / half)`, in float64, then float32.
/// Source: Wan2.1 wan/modules/model.py `sinusoidal_embedding_1d`.
public func timeSinusoid(timestep: Float, count: Int) -> [Float] {
    let half = count / 2
    let angles = (0..<half).map { Double(timestep) * pow(10000, -Double($0) / Double(half)) }
    return angles.map { Float(cos($0)) } + angles.map { Float(sin($0)) }
}

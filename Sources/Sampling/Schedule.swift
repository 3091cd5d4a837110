#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// The times at which a distilled model is asked, 1 to 4 of them.
///
/// Source: TurboDiffusion inference/wan2.1_t2v_infer.py.
public struct Schedule: Sendable, Hashable {
    /// Most steps the distilled models can use.
    public static let maximumSteps = 4
    /// Angles after the first step, in radians; a run of n steps takes the first n - 1.
    static let innerAngles: [Double] = [1.5, 1.4, 1.0]

    public let sigmaMax: Double
    /// TrigFlow angles in radians, one a step, and a closing 0.
    public let angles: [Double]
    /// Rectified-flow times in [0, 1], one a step, and a closing 0: `sin / (sin + cos)`.
    public let times: [Double]

    /// - Parameters:
    ///   - steps: 1 to 4.
    ///   - sigmaMax: noise level of the first step, > 0: 80 for text to video, 200 for image to video.
    /// - Throws: `SamplingError` "steps" or "sigma_max".
    public init(steps: Int, sigmaMax: Double) throws(SamplingError) {
        guard (1...Self.maximumSteps).contains(steps) else {
            throw SamplingError(
                code: "steps",
                message: steps > Self.maximumSteps
                    ? "\(steps) steps asked; the distilled models know at most \(Self.maximumSteps) and gain nothing beyond"
                    : "\(steps) steps asked; at least 1 is needed",
                hint: "set steps to a number from 1 to \(Self.maximumSteps)")
        }
        guard sigmaMax.isFinite, sigmaMax > 0 else {
            throw SamplingError(
                code: "sigma_max", message: "sigma_max is \(sigmaMax)", hint: "use a number above 0, such as 80 or 200")
        }
        let angles = [atan(sigmaMax)] + Self.innerAngles.prefix(steps - 1) + [0]
        self.sigmaMax = sigmaMax
        self.angles = angles
        times = angles.map { sin($0) / (cos($0) + sin($0)) }
    }

    public var stepCount: Int { angles.count - 1 }

    /// The timestep the network is given before step `step`: `float32(t) * 1000`.
    public func timestep(_ step: Int) -> Float { Float(times[step]) * 1000 }

    /// `timestep` rounded to bf16, which is what the models were trained and distilled with (988, 932, 852, 608).
    public func roundedTimestep(_ step: Int) -> Float { roundToBFloat16(timestep(step)) }

    /// Which expert of a two-expert model runs each step: high noise until the time first falls below `boundary`.
    /// Source: TurboDiffusion inference/wan2.2_i2v_infer.py.
    public func experts(boundary: Double) -> [Expert] {
        var current = Expert.highNoise
        return times.dropLast().map { time in
            if time < boundary { current = .lowNoise }
            return current
        }
    }
}

/// One of the two networks of a Wan2.2 model.
public enum Expert: String, Sendable, Hashable, Codable {
    case highNoise = "high_noise"
    case lowNoise = "low_noise"
}

/// To the nearest of the 8 significant bits of bf16, half to even.
public func roundToBFloat16(_ value: Float) -> Float {
    guard value.isFinite else { return value }
    let bits = value.bitPattern
    return Float(bitPattern: (bits &+ 0x7FFF &+ (bits >> 16 & 1)) & 0xFFFF_0000)
}

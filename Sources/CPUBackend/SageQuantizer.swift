import Foundation
import Tensors

/// The roundings of SageSLA, for one head: matrices `[tokens, channels]`.
///
/// Source: SpargeAttn spas_sage_attn/utils.py `qk_quantize`, csrc/fused/fused.cu.
public enum SageQuantizer {
    /// Greatest value of v after scaling.
    static let valueMaximum: Float = 2.25

    /// Int8 codes of q or of smoothed k, one scale for each block of tokens.
    ///
    /// scale = max|x| / 127 + 1e-7; code = x / scale, half away from zero.
    public static func codes(_ x: [Float], channels: Int, block: Int) -> (codes: [Int8], scale: [Float]) {
        var codes = [Int8](repeating: 0, count: x.count)
        var scales: [Float] = []
        let size = block * channels
        x.withUnsafeBufferPointer { x in
            codes.withUnsafeMutableBufferPointer { codes in
                for start in stride(from: 0, to: x.count, by: size) {
                    let end = min(x.count, start + size)
                    var most: Float = 0
                    for i in start..<end where abs(x[i]) > most { most = abs(x[i]) }
                    let scale = most / 127 + 1e-7
                    for i in start..<end {
                        let scaled = x[i] / scale
                        codes[i] = Int8((scaled + (scaled < 0 ? -0.5 : 0.5)).rounded(.towardZero))
                    }
                    scales.append(scale)
                }
            }
        }
        return (codes, scales)
    }

    /// `k - mean over tokens`; `bf16` also rounds the mean and the difference to bf16, as upstream does.
    public static func smoothed(_ k: [Float], channels: Int, bf16: Bool = false) -> [Float] {
        let tokens = k.count / channels
        var sums = [Double](repeating: 0, count: channels)
        for token in 0..<tokens {
            for channel in 0..<channels { sums[channel] += Double(k[token * channels + channel]) }
        }
        let means = sums.map { sum in
            let mean = Float(sum / Double(tokens))
            return bf16 ? roundedToBF16(mean) : mean
        }
        var result = k
        for token in 0..<tokens {
            for channel in 0..<channels {
                let difference = k[token * channels + channel] - means[channel]
                result[token * channels + channel] = bf16 ? roundedToBF16(difference) : difference
            }
        }
        return result
    }

    /// v in e4m3, one scale for each channel: scale = amax / 2.25, code = e4m3(v * (2.25 / amax)).
    public static func values(_ v: [Float], channels: Int) -> (bits: [UInt8], scale: [Float]) {
        var most = [Float](repeating: 0, count: channels)
        for i in v.indices where abs(v[i]) > most[i % channels] { most[i % channels] = abs(v[i]) }
        let factor = most.map { $0 > 0 ? valueMaximum / $0 : 0 }
        let bits = v.indices.map { e4m3Bits(v[$0] * factor[$0 % channels]) }
        return (bits, most.map { $0 / valueMaximum })
    }

    /// The nearest e4m3 number, half to even, saturating at 448.
    public static func e4m3Bits(_ x: Float) -> UInt8 {
        let sign: UInt8 = x.sign == .minus ? 0x80 : 0
        let magnitude = abs(x)
        if magnitude.isNaN { return sign | 0x7F }
        if magnitude >= 448 { return sign | 0x7E }
        if magnitude < 0x1p-6 {
            return sign | UInt8((magnitude * 0x1p9).rounded(.toNearestOrEven))
        }
        let bits = magnitude.bitPattern
        let rounded = bits + 0x7FFFF + (bits >> 20 & 1)
        return sign | UInt8((rounded - 0x3C00_0000) >> 20)
    }

    private static func roundedToBF16(_ x: Float) -> Float {
        let bits = x.bitPattern
        return Float(bitPattern: (bits &+ 0x7FFF &+ (bits >> 16 & 1)) & 0xFFFF_0000)
    }
}

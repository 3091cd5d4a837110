import Foundation
import Tensors

/// One comparison: an error and the most it may be.
struct Measurement {
    let what: String
    let error: Double
    let limit: Double
    /// "rel L2", "max abs", "differing".
    let measure: String

    var passed: Bool { error <= limit }  // false for NaN
    /// How far to its limit; above 1 is too far.
    var ratio: Double { error.isNaN ? .infinity : limit > 0 ? error / limit : error > 0 ? .infinity : 0 }

    var description: String {
        let found = measure == "differing" ? String(Int(error)) : String(format: "%.2e", error)
        let most = limit == 0 ? "0" : measure == "differing" ? String(Int(limit)) : String(format: "%.0e", limit)
        return "\(what) \(measure) \(found) (\(most))"
    }
}

/// `||a - b|| / ||b||` over the whole tensors; infinite where they differ in size or hold NaN.
func relativeL2(_ found: [Float], _ expected: [Float]) -> Double {
    relativeL2(found.map(Double.init), expected.map(Double.init))
}

func relativeL2(_ found: [Double], _ expected: [Double]) -> Double {
    guard found.count == expected.count else { return .infinity }
    var (difference, norm) = (0.0, 0.0)
    for (a, b) in zip(found, expected) {
        difference += (a - b) * (a - b)
        norm += b * b
    }
    guard difference.isFinite, norm.isFinite else { return .infinity }
    return norm == 0 ? (difference == 0 ? 0 : .infinity) : (difference / norm).squareRoot()
}

/// The largest `|a - b|`; infinite where the sizes differ or a value is not finite.
func maximumDifference(_ found: [Float], _ expected: [Float]) -> Double {
    guard found.count == expected.count else { return .infinity }
    var most = 0.0
    for (a, b) in zip(found, expected) {
        let difference = abs(Double(a) - Double(b))
        guard difference.isFinite else { return .infinity }
        most = max(most, difference)
    }
    return most
}

/// Peak signal-to-noise ratio of 8-bit values, in dB.
func peakSignalToNoise(_ found: [UInt8], _ expected: [UInt8]) -> Double {
    guard found.count == expected.count, !found.isEmpty else { return 0 }
    let squares = zip(found, expected).reduce(0.0) { $0 + pow(Double($1.0) - Double($1.1), 2) }
    return squares == 0 ? .infinity : 10 * log10(255 * 255 * Double(found.count) / squares)
}

import Foundation
import Tensors
import Testing

@testable import CPUBackend

/// Values between sentinels: what an operation reads beyond them is NaN, what it writes beyond them is found.
struct Guarded {
    static let margin = 67
    static let sentinel: UInt32 = 0x7FC0_1234
    let tensor: Tensor
    private let whole: Tensor

    /// - Parameter values: nil for an output, poisoned with NaN.
    init(_ backend: CPUBackend, _ shape: [Int], _ values: [Float]? = nil) throws {
        let count = shape.reduce(1, *)
        whole = try backend.allocate([count + 2 * Self.margin], .f32)
        let padding = [Float](repeating: Float(bitPattern: Self.sentinel), count: Self.margin)
        let poison = [Float](repeating: Float(bitPattern: 0x7FC0_5678), count: count)
        backend.write(padding + (values ?? poison) + padding, into: whole)
        tensor = Tensor(buffer: whole.buffer, offset: Self.margin * 4, shape: shape, dtype: .f32)
    }

    /// The values, after a look at the sentinels.
    func values(_ backend: CPUBackend, sourceLocation: SourceLocation = #_sourceLocation) -> [Float] {
        let all = backend.download(whole)
        let edges = all.prefix(Self.margin) + all.suffix(Self.margin)
        #expect(
            edges.allSatisfy { $0.bitPattern == Self.sentinel }, "wrote outside its output",
            sourceLocation: sourceLocation)
        return Array(all.dropFirst(Self.margin).dropLast(Self.margin))
    }
}

/// Normal values that are the same on every run.
struct Values {
    private var state: UInt64

    init(seed: UInt64) { state = seed &* 0x9E37_79B9_7F4A_7C15 | 1 }

    mutating func uniform() -> Double {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return Double((z ^ (z >> 31)) >> 11) * 0x1p-53
    }

    mutating func normal(_ count: Int, scale: Double = 1) -> [Float] {
        (0..<count).map { _ in
            Float(scale * (-2 * log(uniform() + 1e-300)).squareRoot() * cos(2 * .pi * uniform()))
        }
    }

    /// Values that bf16 holds exactly.
    mutating func bf16(_ count: Int, scale: Double = 1) -> [Float] {
        normal(count, scale: scale).map { Float(bitPattern: $0.bitPattern & 0xFFFF_0000) }
    }
}

/// `||a - b|| / ||b||`; infinite for NaN.
func relativeError(_ a: [Float], _ b: [Double]) -> Double {
    guard a.count == b.count else { return .infinity }
    var (difference, norm) = (0.0, 0.0)
    for (x, y) in zip(a, b) {
        difference += (Double(x) - y) * (Double(x) - y)
        norm += y * y
    }
    let error = (difference / max(norm, 1e-300)).squareRoot()
    return error.isNaN ? .infinity : error
}

/// One backend for each level of this machine, with one and with three threads.
let backends: [CPUBackend] = CPULevel.available.flatMap { level in
    [CPUBackend(threads: 1, level: level), CPUBackend(threads: 3, level: level)]
}

extension CPUBackend: CustomTestStringConvertible {
    public var testDescription: String { "\(level.rawValue), \(threadCount) threads" }
}

func doubles(_ x: [Float]) -> [Double] { x.map(Double.init) }

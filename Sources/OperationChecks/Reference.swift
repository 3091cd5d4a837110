import Foundation
import Tensors

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
}

func roundedToBF16(_ x: Float) -> Float {
    guard x.isFinite else { return x }
    return Float(bitPattern: (x.bitPattern &+ 0x7FFF &+ (x.bitPattern >> 16 & 1)) & 0xFFFF_0000)
}

/// `||a - b|| / ||b||`; infinite for NaN.
func relativeError(_ a: [Float], _ b: [Double]) -> Double {
    guard a.count == b.count else { return .infinity }
    var (difference, norm) = (0.0, 0.0)
    for (x, y) in zip(a, b) {
        difference += (Double(x) - y) * (Double(x) - y)
        norm += y * y
    }
    if norm == 0 { return difference == 0 ? 0 : .infinity }
    let error = (difference / norm).squareRoot()
    return error.isNaN ? .infinity : error
}

func doubles(_ x: [Float]) -> [Double] { x.map(Double.init) }
func short(_ x: Double) -> String { String(format: "%.2e", x) }

func silu(_ x: Double) -> Double { x / (1 + exp(-x)) }
func gelu(_ x: Double) -> Double {
    0.5 * x * (1 + tanh((2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x)))
}

/// `x w^T + bias`, x `[m, k]`, w `[n, k]`.
func product(_ x: [Float], _ w: [Float], _ bias: [Float]?, _ m: Int, _ k: Int, _ n: Int) -> [Double] {
    var y = [Double](repeating: 0, count: m * n)
    let (x, w) = (doubles(x), doubles(w))
    x.withUnsafeBufferPointer { x in
        w.withUnsafeBufferPointer { w in
            for i in 0..<m {
                for j in 0..<n {
                    var sum = 0.0
                    for p in 0..<k { sum += x[i * k + p] * w[j * k + p] }
                    y[i * n + j] = sum + Double(bias?[j] ?? 0)
                }
            }
        }
    }
    return y
}

struct AttentionShape: Sendable {
    let (queries, keys, heads, dim): (Int, Int, Int, Int)
    init(_ queries: Int, _ keys: Int, _ heads: Int, _ dim: Int) {
        (self.queries, self.keys, self.heads, self.dim) = (queries, keys, heads, dim)
    }
    var text: String { "\(queries) x \(keys), \(heads) heads of \(dim)" }
}

/// Attention with `visible` keys for each head and query; all, if nil.
func attention(
    _ q: [Float], _ k: [Float], _ v: [Float], _ s: AttentionShape, scale: Double, bias: (Int, Int, Int) -> Double,
    visible: ((Int, Int) -> [Int])? = nil
) -> [Double] {
    var out = [Double](repeating: 0, count: s.queries * s.heads * s.dim)
    for h in 0..<s.heads {
        for i in 0..<s.queries {
            let keys = visible?(h, i) ?? Array(0..<s.keys)
            let scores = keys.map { j in
                var sum = 0.0
                for c in 0..<s.dim {
                    sum += Double(q[(i * s.heads + h) * s.dim + c]) * Double(k[(j * s.heads + h) * s.dim + c])
                }
                return sum * scale + bias(h, i, j)
            }
            let top = scores.max() ?? 0
            let weights = scores.map { exp($0 - top) }
            let total = weights.reduce(0, +)
            for (j, weight) in zip(keys, weights) {
                for c in 0..<s.dim {
                    out[(i * s.heads + h) * s.dim + c] += weight / total * Double(v[(j * s.heads + h) * s.dim + c])
                }
            }
        }
    }
    return out
}

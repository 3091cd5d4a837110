import Foundation
import Tensors
import Testing

@testable import CPUBackend
@testable import OperationChecks

@Suite struct QuantizerTests {
    static func every(_ step: Int, _ x: [Float]) -> [Float] {
        stride(from: 0, to: x.count / 128, by: step).flatMap { x[$0 * 128..<$0 * 128 + 128] }
    }

    @Test func sageCodes() throws {
        let inputs = try GoldenFile("sagesla/a_inputs.safetensors")
        let golden = try GoldenFile("sagesla/a_q64_k128_topk0_5.safetensors")
        let q = SageQuantizer.codes(inputs["q"].floats(), channels: 128, block: 64)
        #expect(Self.every(4, q.codes.map { Float($0) }) == golden["q_int8"].floats())
        #expect(relativeError(q.scale, doubles(golden["q_scale"].floats())) < 1e-6)
        for (bf16, suffix) in [(false, "f32"), (true, "bf16")] {
            let smooth = SageQuantizer.smoothed(inputs["k"].floats(), channels: 128, bf16: bf16)
            let k = SageQuantizer.codes(smooth, channels: 128, block: 128)
            #expect(relativeError(k.scale, doubles(golden["k_scale_\(suffix)"].floats())) < 1e-6)
            let codes = Self.every(4, k.codes.map { Float($0) })
            let expected = golden["k_int8_\(suffix)"].floats()
            for (i, (code, wanted)) in zip(codes, expected).enumerated() where code != wanted {
                let token = i / 128 * 4
                let scaled = smooth[token * 128 + i % 128] / k.scale[token / 128]
                #expect(abs(abs(scaled - scaled.rounded(.down)) - 0.5) < 1e-4, "\(code) instead of \(wanted)")
            }
        }
        let v = SageQuantizer.values(inputs["v"].floats(), channels: 128)
        #expect(relativeError(v.scale, doubles(golden["v_scale"].floats())) < 1e-6)
        let bits = Self.every(4, v.bits.map { Float($0) })
        let wrong = zip(bits, golden["v_fp8_bits"].floats()).filter { $0 != $1 }
        #expect(Double(wrong.count) <= 0.003 * Double(bits.count) && wrong.allSatisfy { abs($0 - $1) == 1 })
    }

    @Test(arguments: CPULevel.available) func e4m3(_ level: CPULevel) {
        let numbers = (0..<256).map { UInt8($0) }.filter { $0 & 0x7F != 0x7F }
        for bits in numbers { #expect(SageQuantizer.e4m3Bits(floatFromE4M3(bits)) == bits) }
        // Halfway between neighbours: the even one; a little beside it: the nearer one.
        let ascending = (0..<0x7E).map { UInt8($0) }
        var (x, expected): ([Float], [Float]) = ([1000, -1000, 0], [448, -448, 0])
        for bits in ascending {
            let (low, high) = (floatFromE4M3(bits), floatFromE4M3(bits + 1))
            let middle = (low + high) / 2
            x += [middle, middle.nextDown, middle.nextUp, -middle]
            let even = bits % 2 == 0 ? low : high
            expected += [even, low, high, -even]
        }
        #expect(x.map { floatFromE4M3(SageQuantizer.e4m3Bits($0)) } == expected)
        var vectors = [Float](repeating: .nan, count: x.count)
        level.kernels.round_e4m3(x, &vectors, x.count)
        #expect(vectors == expected)
    }

    @Test(arguments: CPULevel.available) func goldenInt8(_ level: CPULevel) throws {
        let table = try GoldenFile("int8_linear/round_table.safetensors")
        #expect(table["scaled"].floats().map { Float(Int8Matrix.code($0)) } == table["int8"].floats())
        let golden = try GoldenFile("int8_linear/k128_n104_m1.safetensors")
        let weight = Int8Matrix(quantizing: golden["weight"].floats(), rows: 104, columns: 128, level.kernels)
        #expect(weight.codes.map { Float($0) } == golden["int8_weight"].floats())
        #expect(weight.scale == golden["scale"].floats())
        let x = Int8Matrix(quantizing: golden["x"].floats(), rows: 1, columns: 128, level.kernels)
        #expect(x.codes.map { Float($0) } == golden["x_int8"].floats() && x.scale == golden["x_scale"].floats())
        let backend = CPUBackend(threads: 1, level: level)
        let layer = try backend.makeLinear(
            .int8(weight: golden["int8_weight"], scale: golden["scale"], bias: nil), precision: .stored)
        let output = try Guarded(backend, [1, 104])
        backend.linear(try Guarded(backend, [1, 128], golden["x"].floats()).tensor, layer, into: output.tensor, .none)
        #expect(relativeError(output.values(backend), doubles(golden["y_no_bias"].floats())) < 1e-6)
    }

    /// Values that lie exactly between two codes go to the even one, on every level.
    @Test(arguments: CPULevel.available) func ties(_ level: CPULevel) {
        let x: [Float] = [128, 0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 126.5, 127.5, -127.5, -128, 3.4999998]
        let matrix = Int8Matrix(quantizing: x, rows: 1, columns: x.count, level.kernels)
        #expect(matrix.codes == [127, 0, 2, 2, 0, -2, -2, 126, 127, -128, -128, 3])
    }
}

import Foundation
import Tensors

/// A safetensors file of the golden data.
struct GoldenFile {
    private struct Entry: Decodable {
        let dtype: String
        let shape: [Int]
        let dataOffsets: [Int]

        private enum CodingKeys: String, CodingKey {
            case dtype, shape
            case dataOffsets = "data_offsets"
        }
    }

    private let tensors: [String: HostTensor]

    /// - Parameter path: below `Tests/Golden`.
    init(_ path: String) throws {
        let data = try Data(contentsOf: Self.folder.appending(path: path))
        let length = data.prefix(8).reversed().reduce(0) { $0 << 8 | Int($1) }
        let entries = try JSONDecoder().decode([String: Entry].self, from: data[8..<8 + length])
        let types: [String: DType] = ["F32": .f32, "BF16": .bf16, "I32": .i32, "I8": .i8, "U8": .u8]
        tensors = Dictionary(
            uniqueKeysWithValues: entries.map { name, entry in
                let bytes = [UInt8](data[(8 + length + entry.dataOffsets[0])..<(8 + length + entry.dataOffsets[1])])
                return (name, HostTensor(name: name, shape: entry.shape, dtype: types[entry.dtype]!, copying: bytes))
            })
    }

    static let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Golden")

    subscript(name: String) -> HostTensor { tensors[name]! }
}

/// `[outer, inner, dim]` as `[inner, outer, dim]`.
func exchanged(_ x: [Float], _ outer: Int, _ inner: Int, _ dim: Int) -> [Float] {
    var result: [Float] = []
    for i in 0..<inner {
        for o in 0..<outer {
            let start = (o * inner + i) * dim
            result += x[start..<start + dim]
        }
    }
    return result
}

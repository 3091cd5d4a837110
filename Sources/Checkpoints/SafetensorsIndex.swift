import Foundation

/// A `*.safetensors.index.json`: which shard, a plain file name in the same folder, holds which tensor.
struct SafetensorsIndex {
    static let sizeLimit = 64 << 20

    let records: [TensorRecord]
    let metadata: [String: String]

    init(_ mapping: FileMapping) throws(CheckpointError) {
        guard mapping.bytes.count <= Self.sizeLimit else {
            throw CheckpointError(
                code: .limit, message: "\(mapping.path): index of \(mapping.bytes.count) bytes",
                hint: "an index holds at most \(Self.sizeLimit) bytes")
        }
        let shardOfTensor = try Self.weightMap(mapping)
        let folder = URL(filePath: mapping.path).deletingLastPathComponent()
        var records: [TensorRecord] = []
        var metadata: [String: String] = [:]
        var found = 0
        for shard in Set(shardOfTensor.values).sorted() {
            let file = try SafetensorsFile(FileMapping(path: folder.appending(path: shard).path))
            metadata.merge(file.metadata) { first, _ in first }
            for record in file.records {
                guard shardOfTensor[record.name] == shard else {
                    let claim =
                        shardOfTensor[record.name].map { "the index places it in \($0)" }
                        ?? "the index lacks it"
                    throw .malformed(mapping.path, "\(shard) holds tensor \(quoted(record.name)), \(claim)")
                }
                records.append(record)
                found += 1
            }
        }
        guard found == shardOfTensor.count else {
            let names = Set(records.map(\.name))
            let missing = shardOfTensor.filter { !names.contains($0.key) }.min { $0.key < $1.key }!
            throw CheckpointError(
                code: .missingTensor,
                message:
                    "\(mapping.path): tensor \(quoted(missing.key)) is not in its shard \(missing.value)",
                hint: CheckpointError.replaceHint)
        }
        self.records = records
        self.metadata = metadata
    }

    private static func weightMap(_ mapping: FileMapping) throws(CheckpointError) -> [String: String] {
        guard String(validating: mapping.bytes, as: UTF8.self) != nil else {
            throw .malformed(mapping.path, "index is not UTF-8")
        }
        var map: [String: String]?
        do {
            var scanner = JSONScanner(mapping.bytes)
            try scanner.object { (key, scanner) throws(JSONScanner.Failure) in
                guard key == "weight_map" else { return try scanner.skipValue() }
                guard map == nil else { throw scanner.fail("duplicate weight_map") }
                map = try SafetensorsHeader.strings(&scanner)
            }
            try scanner.expectEnd()
        } catch {
            throw .malformed(mapping.path, "index, byte \(error.offset): \(error.what)")
        }
        guard let map, !map.isEmpty else {
            throw CheckpointError(
                code: .notACheckpoint, message: "\(mapping.path): JSON without a weight_map",
                hint: "name a safetensors file, its index, or a PyTorch archive")
        }
        for (tensor, shard) in map {
            guard isPlainFileName(shard) else {
                throw .malformed(
                    mapping.path, "tensor \(quoted(tensor)): shard \(quoted(shard)) is not a plain file name")
            }
        }
        return map
    }

    private static func isPlainFileName(_ name: String) -> Bool {
        name.hasSuffix(".safetensors") && !name.hasPrefix(".") && name.utf8.count <= 255
            && !name.unicodeScalars.contains { $0 == "/" || $0 == "\\" || $0.value < 0x20 }
    }
}

import Foundation
import Tensors
import Testing

@testable import Checkpoints

@Suite struct SafetensorsTests {
    private func open(_ bytes: [UInt8]) throws -> Checkpoint {
        try Checkpoint.open(FileMapping(path: "file.safetensors", copying: bytes))
    }

    @Test func whatIsWrittenIsRead() throws {
        let folder = try TemporaryFolder()
        let path = folder.path("all.safetensors")
        let tensors = DType.allCases.enumerated().map { index, dtype in
            HostTensor(
                name: "t\"\\\n\u{1}é\(index)", shape: [3, 0 + index], dtype: dtype,
                copying: (0..<(3 * index * dtype.byteCount)).map { UInt8(truncatingIfNeeded: $0 &* 37) })
        }
        try SafetensorsWriter.write(tensors, metadata: ["format": "pt", "a\"": "ü\n"], to: path)
        let checkpoint = try Checkpoint.open(path)
        #expect(checkpoint.metadata == ["format": "pt", "a\"": "ü\n"])
        #expect(Set(checkpoint.names) == Set(tensors.map(\.name)))
        for tensor in tensors {
            let found = try checkpoint.require(tensor.name, shape: tensor.shape, dtypes: [tensor.dtype])
            #expect(content(found) == content(tensor))
            #expect(tensor.bytes.isEmpty || Int(bitPattern: found.bytes.baseAddress) % tensor.dtype.byteCount == 0)
        }
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.url.path) == ["all.safetensors"])
    }

    @Test func anUnfinishedFileLeavesNothing() throws {
        let folder = try TemporaryFolder()
        do {
            let entry = SafetensorsWriter.Entry(name: "x", shape: [4], dtype: .f32)
            let writer = try SafetensorsWriter(path: folder.path("x.safetensors"), entries: [entry])
            try [UInt8](repeating: 1, count: 5).withUnsafeBytes { try writer.append($0) }
        }
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.url.path).isEmpty)
    }

    @Test func goodHeadersAreTaken() throws {
        #expect(try open(safetensors("{}", data: 0)).names.isEmpty)
        let header = #" {"a":{"data_offsets":[0,4],"shape":[],"dtype":"F32","extra":[{"x":null}]}}  "#.dropFirst()
        #expect(try open(safetensors(String(header), data: 4)).tensor("a")?.shape == [])
        let escaped = #"{"\u0061\ud83d\ude00\/":{"dtype":"U8","shape":[2,0],"data_offsets":[0,0]}}"#
        #expect(try open(safetensors(escaped, data: 0)).names == ["a😀/"])
        // Names in any order, data in another.
        let swapped =
            #"{"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]},"b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#
        #expect(try open(safetensors(swapped, data: 2)).names == ["a", "b"])
    }

    private static func entry(_ dtype: String = "F32", _ shape: String = "[2]", _ offsets: String = "[0,8]") -> String {
        "{\"a\":{\"dtype\":\"\(dtype)\",\"shape\":\(shape),\"data_offsets\":\(offsets)}}"
    }

    static let badHeaders: [(String, Int, String)] = [
        (entry("F32", "[2]", "[0,8]"), 9, "after the last tensor"),
        (entry("F32", "[2]", "[0,8]"), 7, "leave the data"),
        (entry("F32", "[3]", "[0,8]"), 8, "needs 12 bytes"),
        (entry("F32", "[1]", "[4,8]"), 8, "leaving a hole from 0"),
        (entry("F32", "[2]", "[8,0]"), 8, "leave the data"),
        (entry("F32", "[2]", "[0,18446744073709551616]"), 8, "integer too large"),
        (entry("F32", "[4611686018427387904,4]", "[0,8]"), 8, "too large"),
        (entry("F32", "[4611686018427387904,4,0]", "[0,0]"), 0, "too large"),
        (entry("F64", "[2305843009213693952]", "[0,0]"), 0, "too large"),
        (entry("F32", "[-1]", "[0,8]"), 8, "unsigned integer"),
        (entry("F32", "[2.0]", "[0,8]"), 8, "expected an integer"),
        (entry("F32", "[2e0]", "[0,8]"), 8, "expected an integer"),
        (entry("F32", "[02]", "[0,8]"), 8, "leading zero"),
        (entry("F32", "[2]", "[0]"), 8, "lacks"),
        (entry("F32", "[2]", "[0,8,8]"), 8, "more than 2 numbers"),
        (entry("F32", "[2", "[0,8]"), 8, "expected"),
        (entry("F33"), 8, "has the type"),
        (entry("F32", "2"), 8, "expected '['"),
        ("{\"a\":{\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "lacks dtype"),
        ("{\"a\":5}", 0, "expected '{'"),
        (
            "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}",
            2, "duplicate key"
        ),
        ("{\"a\":{\"dtype\":\"U8\",\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "duplicate key"),
        (
            "{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[1,3]}}",
            3, "inside another"
        ),
        ("{\"__metadata__\":{\"a\":1}}", 0, "expected a string"),
        ("{\"__metadata__\":{\"a\":\"1\",\"a\":\"1\"}}", 0, "duplicate key"),
        ("{\"__metadata__\":[]}", 0, "expected '{'"),
        ("{} x", 0, "text after the end"),
        ("{\"a\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1]},}", 1, "expected a string"),
        ("{\"a\"", 0, "expected ':'"),
        ("{\"a", 0, "unfinished string"),
        ("{\"a\u{1}\":1}", 0, "unfinished string"),
        (#"{"\ud800":1}"#, 0, "lone surrogate"),
        (#"{"\x":1}"#, 0, "unknown escape"),
        ("{\"a\":{\"x\":" + String(repeating: "[", count: 100_000), 0, "nested too deep"),
        ("{\"a\":{\"x\":tru}}", 0, "unknown word"),
        ("{\"a\":{\"x\":-}}", 0, "expected a value"),
    ]

    @Test(arguments: badHeaders)
    func badHeadersAreRefused(_ header: String, _ data: Int, _ message: String) {
        let error = #expect(throws: CheckpointError.self) { try open(safetensors(header, data: data)) }
        #expect(error?.message.contains(message) == true, "\(error?.message ?? "")")
        #expect(error?.hint.isEmpty == false)
    }

    @Test func lengthsThatLieAreRefused() throws {
        let truncated = #expect(throws: CheckpointError.self) { try open(safetensors("{}", data: 0, length: 3)) }
        #expect(truncated?.message.contains("truncated") == true)
        let large = #expect(throws: CheckpointError.self) { try open(safetensors("{}", data: 0, length: 100_000_001)) }
        #expect(large?.code == .limit)
        let huge = #expect(throws: CheckpointError.self) { try open(safetensors("{}", data: 0, length: .max)) }
        #expect(huge?.code == .limit)
        #expect(throws: CheckpointError.self) { try open(bytes(UInt64(2)) + [0x7B, 0xFF]) }
        let header = bytes(UInt64(4)) + Array("{\"".utf8) + [0xFF, 0x7D]
        let encoding = #expect(throws: CheckpointError.self) { try open(header) }
        #expect(encoding?.message.contains("UTF-8") == true)
    }

    @Test(arguments: [
        [], [0x7B], Array("hello, this is text".utf8), Array("GGUF and more".utf8), [0x80, 0x02, 0x8A, 0x0A, 1, 2],
    ])
    func otherFilesAreNoCheckpoints(_ content: [UInt8]) {
        let error = #expect(throws: CheckpointError.self) { try open(content) }
        #expect(error.map { [.notACheckpoint, .unsupported, .malformed].contains($0.code) } == true)
    }

    @Test func missingFilesSayWhich() {
        let error = #expect(throws: CheckpointError.self) { try Checkpoint.open("/nonexistent/model.safetensors") }
        #expect(error?.code == .unreadable)
        #expect(error?.message.contains("/nonexistent/model.safetensors") == true)
    }

    @Test func aThousandTensorsOpenFast() throws {
        let folder = try TemporaryFolder()
        let path = folder.path("many.safetensors")
        try SafetensorsWriter.write(
            (0..<1_000).map {
                HostTensor(name: "blocks.\($0).self_attn.norm_q.weight", shape: [4], values: [1, 2, 3, 4])
            },
            to: path)
        let clock = ContinuousClock()
        let time = try clock.measure {
            let checkpoint = try Checkpoint.open(path)
            #expect(checkpoint.names.count == 1_000)
        }
        #expect(time < .milliseconds(500))
    }
}

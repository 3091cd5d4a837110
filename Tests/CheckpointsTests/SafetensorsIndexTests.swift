import Foundation
import Tensors
import Testing

@testable import Checkpoints

@Suite struct SafetensorsIndexTests {
    private func folder(index: String) throws -> TemporaryFolder {
        let folder = try TemporaryFolder()
        try SafetensorsWriter.write(
            [HostTensor(name: "a", shape: [1], values: [1]), HostTensor(name: "b", shape: [1], values: [2])],
            to: folder.path("one.safetensors"))
        try SafetensorsWriter.write(
            [HostTensor(name: "c", shape: [1], values: [3])], to: folder.path("two.safetensors"))
        _ = try folder.write(Array(index.utf8), as: "model.safetensors.index.json")
        return folder
    }

    @Test func folderWithIndexIsOneCheckpoint() throws {
        let folder = try folder(
            index:
                #"{"metadata":{"total_size":12},"weight_map":{"a":"one.safetensors","b":"one.safetensors","c":"two.safetensors"}}"#
        )
        let checkpoint = try Checkpoint.open(folder.url.path)
        #expect(checkpoint.names == ["a", "b", "c"])
        #expect(checkpoint.tensor("c")?.floats() == [3])
        #expect(checkpoint.tensor("d") == nil)
    }

    @Test(
        arguments: [
            (#"{"weight_map":{"a":"one.safetensors","b":"one.safetensors"},"x":1}"#, nil),
            (#"{"weight_map":{"a":"one.safetensors"}}"#, "the index lacks it"),
            (#"{"weight_map":{"a":"one.safetensors","b":"two.safetensors","c":"two.safetensors"}}"#, "places it in"),
            (
                #"{"weight_map":{"a":"one.safetensors","b":"one.safetensors","z":"one.safetensors"}}"#,
                "not in its shard"
            ),
            (#"{"weight_map":{"a":"../one.safetensors"}}"#, "not a plain file name"),
            (#"{"weight_map":{"a":"/etc/passwd"}}"#, "not a plain file name"),
            (#"{"weight_map":{"a":".safetensors"}}"#, "not a plain file name"),
            (#"{"weight_map":{"a":"nul\u0000.safetensors"}}"#, "not a plain file name"),
            (#"{"weight_map":{"a":"three.safetensors"}}"#, "cannot be opened"),
            (#"{"weight_map":{"a":"one.safetensors","a":"one.safetensors"}}"#, "duplicate key"),
            (#"{"weight_map":{},"weight_map":{}}"#, "duplicate weight_map"),
            (#"{"weight_map":{}}"#, "without a weight_map"),
            (#"{"weight_map":["a"]}"#, "expected '{'"),
            (#"{"weights":{}}"#, "without a weight_map"),
        ] as [(String, String?)])
    func indexesAreChecked(_ index: String, _ message: String?) throws {
        let folder = try folder(index: index)
        guard let message else {
            #expect(try Checkpoint.open(folder.url.path).names == ["a", "b"])
            return
        }
        let error = #expect(throws: CheckpointError.self) { try Checkpoint.open(folder.url.path) }
        #expect(error?.message.contains(message) == true, "\(error?.message ?? "")")
    }

    @Test func foldersWithoutOneCheckpointAreRefused() throws {
        let empty = try TemporaryFolder()
        #expect(throws: CheckpointError.self) { try Checkpoint.open(empty.url.path) }
        for name in ["a.safetensors", "b.safetensors"] {
            try SafetensorsWriter.write([HostTensor(name: "a", shape: [1], values: [1])], to: empty.path(name))
        }
        let error = #expect(throws: CheckpointError.self) { try Checkpoint.open(empty.url.path) }
        #expect(error?.message.contains("a.safetensors, b.safetensors") == true)
    }
}

import Foundation
import Tensors
import Testing

@testable import Checkpoints

@Suite struct TorchArchiveTests {
    private func open(_ zip: ZipBuilder, zip64: Bool = false) throws -> Checkpoint {
        try Checkpoint.open(FileMapping(path: "file.pth", copying: zip.build(zip64: zip64)))
    }

    private func floats(_ values: [Float]) -> [UInt8] { values.flatMap { bytes($0.bitPattern) } }

    private func archive(_ body: (inout PickleBuilder) -> Void, storage: [Float] = [1, 2, 3, 4, 5, 6]) -> ZipBuilder {
        ZipBuilder(pickle: PickleBuilder.dictionary("w", body), storages: ["0": floats(storage)])
    }

    @Test(arguments: [false, true])
    func aViewIsReadRowMajor(zip64: Bool) throws {
        let zip = archive { $0.tensor(count: 6, offset: 1, size: [2, 2], stride: [1, 3]) }
        let tensor = try #require(try open(zip, zip64: zip64).tensor("w"))
        #expect(tensor.shape == [2, 2])
        #expect(tensor.floats() == [2, 5, 3, 6])
    }

    @Test func nestedDictionariesAndNotesAreUnderstood() throws {
        var pickle = PickleBuilder()
        pickle.op("}")
        pickle.op("(")
        pickle.string("iteration")
        pickle.int(7)
        pickle.string("state_dict")
        pickle.op("}")
        pickle.string("net.w")
        pickle.tensor(count: 6, size: [6], stride: [1])
        pickle.op("s")
        pickle.string("note")
        pickle.op("N")
        pickle.op("u")
        pickle.op(".")
        let checkpoint = try open(ZipBuilder(pickle: pickle.bytes, storages: ["0": floats([1, 2, 3, 4, 5, 6])]))
        #expect(checkpoint.names == ["net.w"])
        #expect(checkpoint.tensor("net.w")?.floats() == [1, 2, 3, 4, 5, 6])
    }

    @Test func float8IsReadThroughItsTypedRebuild() throws {
        let pickle = PickleBuilder.dictionary("w") {
            $0.global("torch._utils", "_rebuild_tensor_v3")
            $0.op("(")
            $0.op("(")
            $0.string("storage")
            $0.global("torch", "UntypedStorage")
            $0.string("0")
            $0.string("cuda:0")
            $0.int(3)
            $0.op("t")
            $0.op("Q")
            $0.int(0)
            $0.tuple([3])
            $0.tuple([1])
            $0.raw([0x89])
            $0.global("collections", "OrderedDict")
            $0.op(")")
            $0.op("R")
            $0.global("torch", "float8_e4m3fn")
            $0.op("}")
            $0.op("t")
            $0.op("R")
        }
        let tensor = try open(ZipBuilder(pickle: pickle, storages: ["0": [0x38, 0xB8, 0x7E]])).tensor("w")
        #expect(tensor?.dtype == .f8e4m3)
        #expect(tensor?.floats() == [1, -1, 448])
    }

    static let badViews: [(count: Int, offset: Int, size: [Int], stride: [Int], message: String)] = [
        (6, 0, [7], [1], "reaches element 6"),
        (6, 6, [1], [1], "reaches element 6"),
        (6, 0, [2, 2], [1, 5], "reaches element 6"),
        (6, -1, [1], [1], "negative offset"),
        (6, 0, [2], [-1], "negative offset"),
        (6, 0, [-1], [1], "negative or too large"),
        (6, 0, [2, 2], [1], "2 sizes with 1 strides"),
        (7, 0, [6], [1], "a storage of 7 elements"),
        (-1, 0, [6], [1], "names no storage"),
        (6, 0, [1 << 30, 1 << 30, 1 << 30], [0, 0, 0], "negative or too large"),
        (6, 0, [1 << 30, 1 << 20], [0, 0], "expands"),
        (6, 0, [1 << 30, 1 << 30], [1 << 30, 1 << 30], "reaches element"),
    ]

    @Test(arguments: badViews)
    func viewsOutsideTheirStorageAreRefused(
        _ view: (count: Int, offset: Int, size: [Int], stride: [Int], message: String)
    ) {
        let zip = archive { $0.tensor(count: view.count, offset: view.offset, size: view.size, stride: view.stride) }
        let error = #expect(throws: CheckpointError.self) { try open(zip) }
        #expect(error?.message.contains(view.message) == true, "\(error?.message ?? "")")
    }

    @Test(arguments: [
        ("posix", "system"), ("os", "system"), ("builtins", "eval"), ("builtins", "exec"), ("torch", "load"),
        ("subprocess", "Popen"), ("torch._utils", "_rebuild_tensor_v2.__globals__"), ("torch", "QInt8Storage"),
        ("numpy.core.multiarray", "_reconstruct"), ("collections", "OrderedDict.__init__"), ("", ""),
    ])
    func everyOtherNameIsRefusedByName(_ module: String, _ name: String) {
        let zip = archive {
            $0.global(module, name)
            $0.op("(")
            $0.string("echo hello")
            $0.op("t")
            $0.op("R")
        }
        let error = #expect(throws: CheckpointError.self) { try open(zip) }
        #expect(error?.code == .forbiddenGlobal)
        #expect(error?.message.contains("\(module).\(name) is not allowed") == true, "\(error?.message ?? "")")
    }

    @Test func aNameBuiltOnTheStackIsRefusedToo() {
        let zip = archive {
            $0.string("os")
            $0.string("system")
            $0.raw([0x93])
        }
        let error = #expect(throws: CheckpointError.self) { try open(zip) }
        #expect(error?.message.contains("os.system is not allowed") == true)
    }

    @Test(
        arguments: [
            ([0x80, 9], "protocol 9"), ([], "ends without STOP"), ([0x2E], "empty stack"), ([0x30], "empty stack"),
            ([0x28, 0x2E], "empty stack"), ([0x74], "no MARK"), ([0x75], "no MARK"), ([0x71, 0], "empty stack"),
            ([0x68, 5], "memo 5"), ([0x6A, 1, 1, 1, 1], "memo"), ([0x52], "empty stack"),
            ([0x4E, 0x29, 0x52], "no name"),
            ([0x4E, 0x62], "no dict"), ([0x4E, 0x7D, 0x62], "attributes of None"), ([0x51], "empty stack"),
            ([0x29, 0x51], "names no storage"), ([0x4E, 0x51], "no tuple"),
            ([0x58, 255, 255, 255, 255], "a string of"),
            ([0x58, 9, 0, 0, 0, 65], "inside an argument"), ([0x58, 1, 0, 0, 0, 255], "not UTF-8"),
            ([0x8A, 9], "9 bytes"),
            ([0x63, 65], "a name without an end"), ([0x4E, 0x4E, 0x73], "looks at an empty stack"),
            ([0x5D, 0x4E, 0x4E, 0x73], "sets an item of a list"),
            ([0x7D, 0x28, 0x4E, 0x75], "a key without a value"), ([0x4E, 0x4E, 0x61], "appends to None"),
            ([0xFF], "0xff"),
            ([0x49, 0x31, 0x0A], "0x49"), ([0x95, 1], "inside an argument"), ([0x4E, 0x2E], "holds None"),
            ([0x7D, 0x2E], "no named tensors"), ([0x4B], "ends without STOP"),
            ([0x69, 65, 0x0A, 66, 0x0A], "A.B is not allowed"),
            ([0x29, 0x29, 0x81], "makes an object"),
        ] as [([UInt8], String)])
    func brokenPicklesAreRefused(_ pickle: [UInt8], _ message: String) {
        let error = #expect(throws: CheckpointError.self) { try open(ZipBuilder(pickle: pickle)) }
        #expect(error?.message.contains(message) == true, "\(error?.message ?? "")")
    }

    @Test func deepNestingCyclesAndHugeMemosEnd() throws {
        // A million lists, one in the other.
        let deep = [UInt8](repeating: 0x5D, count: 1 << 21)
        let nested = #expect(throws: CheckpointError.self) { try open(ZipBuilder(pickle: deep)) }
        #expect(nested?.code == .limit)
        let tuples: [UInt8] = [0x4E] + [UInt8](repeating: 0x85, count: 1_000_000) + [0x2E]
        #expect(throws: CheckpointError.self) { try open(ZipBuilder(pickle: tuples)) }
        let marks = [UInt8](repeating: 0x28, count: 1 << 21)
        #expect(throws: CheckpointError.self) { try open(ZipBuilder(pickle: marks)) }
        var memo: [UInt8] = [0x4E]
        for i in 0..<UInt32(1 << 20) + 1 { memo += [0x72] + bytes(i) }
        let error = #expect(throws: CheckpointError.self) { try open(ZipBuilder(pickle: memo)) }
        #expect(error?.code == .limit)
        // d = {}; d["d"] = d, beside a tensor.
        var cyclic = PickleBuilder()
        cyclic.op("}")
        cyclic.raw([0x71, 0])
        cyclic.string("state_dict")
        cyclic.raw([0x68, 0])
        cyclic.op("s")
        cyclic.op(".")
        #expect(throws: CheckpointError.self) { try open(ZipBuilder(pickle: cyclic.bytes)) }
    }

    @Test func zipsThatLieAreRefused() {
        let good = archive { $0.tensor(count: 6, size: [6], stride: [1]) }
        func refusal(_ what: String, _ change: (inout ZipBuilder) -> Void) {
            var zip = good
            change(&zip)
            let error = #expect(throws: CheckpointError.self) { try open(zip) }
            #expect(error?.message.contains(what) == true, "\(error?.message ?? "")")
        }
        refusal("compressed") { $0.entries[0].method = 8 }
        refusal("encrypted") { $0.entries[0].flags = 1 }
        refusal("appears twice") { $0.entries.append($0.entries[0]) }
        refusal("past the end") { $0.entries[2].size = 1 << 20 }
        refusal("outside the file") { $0.entries[2].offset = 1 << 30 }
        refusal("no local header") { $0.entries[2].offset = 3 }
        refusal("overlaps") { $0.entries[0].size = UInt32($0.entries[0].data.count + 10) }
        refusal("another name") { $0.entries[0].localName = "archive/data.pkm" }
        refusal("lacks") { $0.entries.removeLast() }
        refusal("with 0 data.pkl") { $0.entries.removeFirst() }
        refusal("with 2 data.pkl") { $0.entries.append(.init(name: "other/data.pkl", data: [])) }
        refusal("not little-endian") { $0.entries[1].data = Array("big".utf8) }
        let whole = good.build()
        for cut in [1, 10, 21, 22, 30, whole.count / 2, whole.count - 30] {
            let file = FileMapping(path: "cut.pth", copying: Array(whole.dropLast(cut)))
            #expect(throws: CheckpointError.self, "\(cut) bytes missing") { try Checkpoint.open(file) }
        }
    }
}

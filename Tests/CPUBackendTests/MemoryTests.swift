import Foundation
import Tensors
import Testing

@testable import CPUBackend
@testable import OperationChecks

@Suite struct MemoryTests {
    @Test(arguments: backends) func convertsHalves(_ backend: CPUBackend) throws {
        var random = Values(seed: 18)
        let edges: [Float] = [0, -0.0, 1, -1, 65504, 65520, 1e9, 6e-8, 2e-8, 5.9604645e-8, 6.1035156e-5, -6.1e-5]
        let x = edges + random.normal(501) + random.normal(100, scale: 1e-5)
        let source = try Guarded(backend, [x.count], x)
        let half = try backend.allocate([x.count], .f16)
        backend.convert(source.tensor, into: half)
        #expect(backend.download(half) == x.map { Float(Float16($0)) })
        let back = try Guarded(backend, [x.count])
        backend.convert(half, into: back.tensor)
        #expect(back.values(backend) == x.map { Float(Float16($0)) })
        let brain = try backend.allocate([x.count], .bf16)
        backend.convert(source.tensor, into: brain)
        let rounded = x.map { Float(bitPattern: ($0.bitPattern + 0x7FFF + ($0.bitPattern >> 16 & 1)) & 0xFFFF_0000) }
        #expect(backend.download(brain) == rounded)
        backend.convert(brain, into: back.tensor)
        #expect(back.values(backend) == rounded)
    }

    @Test func copiesAndUploads() throws {
        let backend = CPUBackend(threads: 2)
        let values = (0..<1000).map { Float($0) * 0.5 }
        let tensor = try backend.upload(HostTensor(shape: [10, 100], values: values), as: .f32)
        let copy = try Guarded(backend, [10, 100])
        backend.copy(tensor, into: copy.tensor)
        #expect(copy.values(backend) == values)
        #expect(backend.download(tensor.rows(2..<4).reshaped([200])) == Array(values[200..<400]))
        let ids = HostTensor(shape: [3], dtype: .i32, copying: [1, 0, 0, 0, 2, 0, 0, 0, 255, 255, 255, 255])
        #expect(backend.download(try backend.upload(ids, as: .i32)) == [1, 2, -1])
    }

    @Test func refusesWhatCannotBe() {
        let backend = CPUBackend(threads: 1)
        #expect(throws: BackendError.self) { try backend.allocate([Int.max / 2, 8], .f32) }
        #expect(throws: BackendError.self) { try backend.allocate([1 << 50], .f32) }
    }

    @Test func describesItself() {
        let backend = CPUBackend(threads: 2, level: .baseline)
        #expect(backend.name == "cpu" && backend.activationType == .f32)
        #expect(backend.deviceDescription.hasSuffix(", 2 threads, baseline"))
    }
}

@Suite struct ThreadPoolTests {
    @Test(arguments: [1, 2, 5]) func callsEachIndexOnce(_ threads: Int) {
        let pool = ThreadPool(threads: threads)
        for count in [0, 1, 2, 7, 1000] {
            let hits = UnsafeMutablePointer<Int32>.allocate(capacity: count + 1)
            hits.initialize(repeating: 0, count: count + 1)
            defer { hits.deallocate() }
            pool.run(count) { index, worker in
                precondition(worker < threads)
                hits[index] += 1
            }
            #expect((0..<count).allSatisfy { hits[$0] == 1 })
        }
    }

    /// Many short loops, from several threads that take turns.
    @Test func survivesManyCallers() async {
        let pool = ThreadPool(threads: 3)
        await withTaskGroup(of: Int.self) { group in
            for _ in 0..<4 {
                group.addTask {
                    var total = 0
                    for _ in 0..<500 {
                        let parts = UnsafeMutablePointer<Int>.allocate(capacity: 9)
                        defer { parts.deallocate() }
                        pool.run(9) { index, _ in parts[index] = index }
                        total += (0..<9).reduce(0) { $0 + parts[$1] }
                    }
                    return total
                }
            }
            for await total in group { #expect(total == 500 * 36) }
        }
    }
}

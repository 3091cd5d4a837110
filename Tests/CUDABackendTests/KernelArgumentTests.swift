import Testing

@testable import CUDABackend

/// What is handed to a kernel lies where the kernel looks for it; the kernels state the same sizes.
@Suite struct KernelArgumentTests {
    @Test func structuresAreAsInTheKernels() {
        #expect(MemoryLayout<KernelEpilogue>.stride == 24)
        #expect(MemoryLayout<KernelEpilogue>.offset(of: \.roundsFirst) == 20)
        #expect(MemoryLayout<KernelPermutation>.stride == 104)
        #expect(MemoryLayout<KernelPermutation>.offset(of: \.steps) == 40)
        #expect(MemoryLayout<KernelWindow>.stride == 72)
        #expect(MemoryLayout<KernelWindow>.offset(of: \.outWidth) == 64)
        #expect(MemoryLayout<KernelAttention>.stride == 120)
        #expect(MemoryLayout<KernelAttention>.offset(of: \.stride) == 88)
        #expect(MemoryLayout<KernelAttention>.offset(of: \.scale) == 116)
        #expect(MemoryLayout<KernelAttention8>.stride == 832)
        #expect(MemoryLayout<KernelAttention8>.offset(of: \.scale) == 828)
        #expect(MemoryLayout<KernelTurns>.stride == 704)
        #expect(MemoryLayout<KernelTurns>.offset(of: \.blocks) == 640)
        #expect(MemoryLayout<KernelTurns>.offset(of: \.scale) == 688)
        #expect(MemoryLayout<KernelHidden>.stride == 384)
        #expect(MemoryLayout<KernelHidden>.offset(of: \.out) == 296)
        #expect(MemoryLayout<KernelHidden>.offset(of: \.group) == 324)
    }

    @Test func argumentsAreAligned() {
        var arguments = KernelArguments()
        arguments.add(Int32(1))
        arguments.add(UInt64(2))
        arguments.add(Float(1))
        arguments.add(KernelEpilogue(bias: 3, operand: 4, kind: 5, roundsFirst: 6))
        #expect(arguments.bytes.count == 48)
        #expect(arguments.bytes[8] == 2 && arguments.bytes[24] == 3 && arguments.bytes[32] == 4)
        #expect(arguments.bytes[40] == 5 && arguments.bytes[44] == 6)
    }

    @Test func fastPathsAreLeftOutByName() {
        #expect(FastPath.all(except: "") == Set(FastPath.allCases))
        #expect(
            FastPath.all(except: "library, hopper,unheard").symmetricDifference(FastPath.allCases) == [
                .library, .hopper,
            ])
    }

    @Test func everySourceIsAFileOfKernels() {
        #expect(Set(KernelSource.all.map(\.name)) == Set(KernelFile.allCases.map(\.rawValue)))
        #expect(KernelSource.all.allSatisfy { $0.text.contains("#include \"common.cuh\"") })
    }
}

import Foundation
import FuzzTargets

#if LIBFUZZER
    private let target: FuzzTarget = {
        guard let name = getenv("DROPREEL_FUZZ_TARGET"), let target = FuzzTarget(rawValue: String(cString: name)) else {
            fatalError("DROPREEL_FUZZ_TARGET names no target")
        }
        if let folder = getenv("DROPREEL_FUZZ_SEEDS") {
            try! target.writeInputs(to: URL(filePath: String(cString: folder)))
            _exit(0)
        }
        return target
    }()

    /// What libFuzzer calls with every input.
    @_cdecl("LLVMFuzzerTestOneInput")
    public func testOneInput(_ bytes: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
        target.run([UInt8](UnsafeBufferPointer(start: bytes, count: count)))
        return 0
    }
#endif

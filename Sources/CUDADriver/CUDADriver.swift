import Foundation

public typealias DeviceAddress = UInt64

/// The driver's functions that this program calls, from `libcuda.so.1`.
public final class CUDADriver: @unchecked Sendable {
    // Invariant for `@unchecked Sendable`: function pointers never change; the driver is safe for threads.
    typealias Handle = OpaquePointer
    typealias Status = Int32

    let library: DynamicLibrary
    let getErrorName: @convention(c) (Status, UnsafeMutablePointer<UnsafePointer<CChar>?>) -> Status
    let getErrorString: @convention(c) (Status, UnsafeMutablePointer<UnsafePointer<CChar>?>) -> Status
    let initialize: @convention(c) (UInt32) -> Status
    let driverGetVersion: @convention(c) (UnsafeMutablePointer<Int32>) -> Status
    let deviceGetCount: @convention(c) (UnsafeMutablePointer<Int32>) -> Status
    let deviceGet: @convention(c) (UnsafeMutablePointer<Int32>, Int32) -> Status
    let deviceGetName: @convention(c) (UnsafeMutablePointer<CChar>, Int32, Int32) -> Status
    let deviceGetAttribute: @convention(c) (UnsafeMutablePointer<Int32>, Int32, Int32) -> Status
    let deviceGetBusIdentifier: @convention(c) (UnsafeMutablePointer<CChar>, Int32, Int32) -> Status
    let deviceTotalMemory: @convention(c) (UnsafeMutablePointer<Int>, Int32) -> Status
    let deviceGetDefaultPool: @convention(c) (UnsafeMutablePointer<Handle?>, Int32) -> Status
    let poolSetAttribute: @convention(c) (Handle, Int32, UnsafeMutableRawPointer) -> Status
    let poolGetAttribute: @convention(c) (Handle, Int32, UnsafeMutableRawPointer) -> Status
    let poolTrim: @convention(c) (Handle, Int) -> Status
    let primaryContextRetain: @convention(c) (UnsafeMutablePointer<Handle?>, Int32) -> Status
    let primaryContextRelease: @convention(c) (Int32) -> Status
    let contextSetCurrent: @convention(c) (Handle?) -> Status
    let memoryInfo: @convention(c) (UnsafeMutablePointer<Int>, UnsafeMutablePointer<Int>) -> Status
    let allocateAsync: @convention(c) (UnsafeMutablePointer<DeviceAddress>, Int, Handle) -> Status
    let freeAsync: @convention(c) (DeviceAddress, Handle) -> Status
    let copyToDevice: @convention(c) (DeviceAddress, UnsafeRawPointer, Int, Handle) -> Status
    let copyToHost: @convention(c) (UnsafeMutableRawPointer, DeviceAddress, Int, Handle) -> Status
    let copyOnDevice: @convention(c) (DeviceAddress, DeviceAddress, Int, Handle) -> Status
    let setBytes: @convention(c) (DeviceAddress, UInt8, Int, Handle) -> Status
    let hostAllocate: @convention(c) (UnsafeMutablePointer<UnsafeMutableRawPointer?>, Int, UInt32) -> Status
    let hostRegister: @convention(c) (UnsafeMutableRawPointer, Int, UInt32) -> Status
    let hostUnregister: @convention(c) (UnsafeMutableRawPointer) -> Status
    let hostFree: @convention(c) (UnsafeMutableRawPointer) -> Status
    let streamWaitEvent: @convention(c) (Handle, Handle, UInt32) -> Status
    let streamCreate: @convention(c) (UnsafeMutablePointer<Handle?>, UInt32) -> Status
    let streamSynchronize: @convention(c) (Handle) -> Status
    let streamDestroy: @convention(c) (Handle) -> Status
    let eventCreate: @convention(c) (UnsafeMutablePointer<Handle?>, UInt32) -> Status
    let eventRecord: @convention(c) (Handle, Handle) -> Status
    let eventSynchronize: @convention(c) (Handle) -> Status
    let eventElapsed: @convention(c) (UnsafeMutablePointer<Float>, Handle, Handle) -> Status
    let eventDestroy: @convention(c) (Handle) -> Status
    let moduleLoad: @convention(c) (UnsafeMutablePointer<Handle?>, UnsafeRawPointer) -> Status
    let moduleGetFunction: @convention(c) (UnsafeMutablePointer<Handle?>, Handle, UnsafePointer<CChar>) -> Status
    let functionGetAttribute: @convention(c) (UnsafeMutablePointer<Int32>, Int32, Handle) -> Status
    let functionSetAttribute: @convention(c) (Handle, Int32, Int32) -> Status
    let launchKernel:
        @convention(c) (
            Handle, UInt32, UInt32, UInt32, UInt32, UInt32, UInt32, UInt32, Handle,
            UnsafeMutablePointer<UnsafeMutableRawPointer?>?, UnsafeMutablePointer<UnsafeMutableRawPointer?>?
        ) -> Status
    /// nil in drivers before CUDA 12.
    let graphs: GraphFunctions?
    /// The same.
    let encodeTensorMap:
        (
            @convention(c) (
                UnsafeMutableRawPointer, Int32, UInt32, UnsafeMutableRawPointer?, UnsafePointer<UInt64>,
                UnsafePointer<UInt64>, UnsafePointer<UInt32>, UnsafePointer<UInt32>, Int32, Int32, Int32, Int32
            ) -> Status
        )?

    /// - Parameter folders: where to look before the loader's own search.
    /// - Throws: `CUDAError` "missing".
    public init(folders: [String] = []) throws {
        library = try DynamicLibrary.open(["libcuda.so.1", "libcuda.so"], first: folders, in: [])
        let library = library
        func load<Function>(_ name: String) throws -> Function { try library.function(name) }
        getErrorName = try load("cuGetErrorName")
        getErrorString = try load("cuGetErrorString")
        initialize = try load("cuInit")
        driverGetVersion = try load("cuDriverGetVersion")
        deviceGetCount = try load("cuDeviceGetCount")
        deviceGet = try load("cuDeviceGet")
        deviceGetName = try load("cuDeviceGetName")
        deviceGetAttribute = try load("cuDeviceGetAttribute")
        deviceGetBusIdentifier = try load("cuDeviceGetPCIBusId")
        deviceTotalMemory = try load("cuDeviceTotalMem_v2")
        deviceGetDefaultPool = try load("cuDeviceGetDefaultMemPool")
        poolSetAttribute = try load("cuMemPoolSetAttribute")
        poolGetAttribute = try load("cuMemPoolGetAttribute")
        poolTrim = try load("cuMemPoolTrimTo")
        primaryContextRetain = try load("cuDevicePrimaryCtxRetain")
        primaryContextRelease = try load("cuDevicePrimaryCtxRelease_v2")
        contextSetCurrent = try load("cuCtxSetCurrent")
        memoryInfo = try load("cuMemGetInfo_v2")
        allocateAsync = try load("cuMemAllocAsync")
        freeAsync = try load("cuMemFreeAsync")
        copyToDevice = try load("cuMemcpyHtoDAsync_v2")
        copyToHost = try load("cuMemcpyDtoHAsync_v2")
        copyOnDevice = try load("cuMemcpyDtoDAsync_v2")
        setBytes = try load("cuMemsetD8Async")
        hostAllocate = try load("cuMemHostAlloc")
        hostRegister = try load("cuMemHostRegister_v2")
        hostUnregister = try load("cuMemHostUnregister")
        hostFree = try load("cuMemFreeHost")
        streamWaitEvent = try load("cuStreamWaitEvent")
        streamCreate = try load("cuStreamCreate")
        streamSynchronize = try load("cuStreamSynchronize")
        streamDestroy = try load("cuStreamDestroy_v2")
        eventCreate = try load("cuEventCreate")
        eventRecord = try load("cuEventRecord")
        eventSynchronize = try load("cuEventSynchronize")
        eventElapsed = try load("cuEventElapsedTime")
        eventDestroy = try load("cuEventDestroy_v2")
        moduleLoad = try load("cuModuleLoadData")
        moduleGetFunction = try load("cuModuleGetFunction")
        functionGetAttribute = try load("cuFuncGetAttribute")
        functionSetAttribute = try load("cuFuncSetAttribute")
        launchKernel = try load("cuLaunchKernel")
        graphs = try? GraphFunctions(library)
        encodeTensorMap = try? load("cuTensorMapEncodeTiled")
        try check(initialize(0), "initialising the driver")
    }

    public var path: String { library.path }

    /// "13.0".
    public var version: String {
        var value: Int32 = 0
        return driverGetVersion(&value) == 0 ? "\(value / 1000).\(value % 1000 / 10)" : "unknown"
    }

    /// - Throws: `CUDAError` "driver", or "outOfMemory".
    func check(_ status: Status, _ what: @autoclosure () -> String) throws {
        guard status != 0 else { return }
        var (name, text): (UnsafePointer<CChar>?, UnsafePointer<CChar>?)
        _ = getErrorName(status, &name)
        _ = getErrorString(status, &text)
        let known = [name, text].compactMap { $0.map { String(cString: $0) } }.joined(separator: ", ")
        throw CUDAError(
            status == 2 ? .outOfMemory : status == 100 ? .noDevice : .driver,
            "\(what()): \(known.isEmpty ? "error \(status)" : known)",
            hint: status == 2
                ? "the GPU's memory is full" : "dmesg may name the cause; restarting the worker gives it a fresh start")
    }

    /// The GPUs that this process may use, in the driver's order.
    public func devices() throws -> [CUDADevice] {
        var count: Int32 = 0
        try check(deviceGetCount(&count), "counting GPUs")
        return try (0..<max(count, 0)).map { ordinal in
            var (id, total): (Int32, Int) = (0, 0)
            try check(deviceGet(&id, ordinal), "GPU \(ordinal)")
            var name = [CChar](repeating: 0, count: 256)
            try check(deviceGetName(&name, 256, id), "name of GPU \(ordinal)")
            try check(deviceTotalMemory(&total, id), "memory of GPU \(ordinal)")
            func attribute(_ number: Int32) throws -> Int {
                var value: Int32 = 0
                try check(deviceGetAttribute(&value, number, id), "attribute \(number) of GPU \(ordinal)")
                return Int(value)
            }
            var place = [CChar](repeating: 0, count: 32)
            let hasPlace = deviceGetBusIdentifier(&place, 32, id) == 0
            let text = String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            return CUDADevice(
                ordinal: Int(ordinal), id: id, name: text, memoryBytes: total, major: try attribute(75),
                minor: try attribute(76), multiprocessors: try attribute(16), sharedMemoryPerBlock: try attribute(97),
                hasMemoryPools: try attribute(115) != 0,
                busIdentifier: hasPlace
                    ? String(decoding: place.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self) : nil)
        }
    }
}

/// A GPU as the driver describes it.
public struct CUDADevice: Sendable {
    public let ordinal: Int
    let id: Int32
    public let name: String
    public let memoryBytes: Int
    /// Compute capability.
    public let major: Int
    public let minor: Int
    public let multiprocessors: Int
    /// Most bytes of shared memory that a block may ask for.
    public let sharedMemoryPerBlock: Int
    public let hasMemoryPools: Bool
    /// "0000:1b:00.0".
    public let busIdentifier: String?

    /// What kernels are compiled for: "90a" on Hopper, whose own instructions need the suffix, else "80", "120", ...
    public var architecture: String { major == 9 && minor == 0 ? "90a" : "\(major)\(minor)" }
    /// Tensor-core instructions and asynchronous copies as the kernels use them came with 8.0.
    public var isSupported: Bool { major >= 8 && hasMemoryPools }
}

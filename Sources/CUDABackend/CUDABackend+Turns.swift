import CUDADriver
import Tensors

/// `Turns` of turns.cu.
struct KernelTurns: BitwiseCopyable {
    var q: TensorMap
    var k: TensorMap
    var v: TensorMap
    var out: TensorMap
    var folded: TensorMap
    var blocks: DeviceAddress
    var bias: DeviceAddress
    var states: DeviceAddress
    var shift: DeviceAddress
    var heads: Int32
    var queries: Int32
    var keys: Int32
    var selected: Int32
    var scale: Float
    var padding: (Int32, Int32, Int32) = (0, 0, 0)
}

extension CUDABackend {
    /// Attention of heads of 128 channels in bf16 by a producer and two groups that take turns.
    var usesTurns: Bool { fastPaths.contains(.turns) && usesHopper && stream.makesTensorMaps }

    /// - Parameters:
    ///   - blocks: i32 `[heads, query blocks of 128, selected]`, key blocks of 64, ascending; nil for all keys.
    ///   - bias: f32, one a key.
    ///   - branch: what is added to the result.
    func attendInTurns(
        _ q: Tensor, _ k: Tensor, _ v: Tensor, blocks: Tensor?, selected: Int = 0, bias: Tensor? = nil,
        branch: LinearBranch? = nil, scale: Float, into output: Tensor
    ) {
        let (queries, keys, heads) = (q.shape[0], k.shape[0], q.shape[1])
        must {
            func map(_ x: Tensor) throws -> TensorMap {
                try stream.tensorMap(x.address, tokens: x.shape[0], heads: heads)
            }
            let of = (q: try map(q), out: try map(output))
            let folded = try branch.map { try stream.tensorMap($0.folded.address, tokens: heads * 128, heads: 1) }
            let problem = KernelTurns(
                q: of.q, k: try map(k), v: try map(v), out: of.out, folded: folded ?? of.q, blocks: blocks.address,
                bias: bias.address, states: branch?.states.address ?? 0, shift: branch?.bias.address ?? 0,
                heads: Int32(heads), queries: Int32(queries), keys: Int32(keys), selected: Int32(selected),
                scale: scale)
            let form = branch != nil ? "_branch" : bias != nil ? "_bias" : ""
            launchWhole(
                .turns, "turns_attention" + form, blocks: min(device.multiprocessors, (queries + 127) / 128 * heads),
                threads: 384, shared: Self.turnsBytes, problem)
        }
        withExtendedLifetime((blocks, bias, branch)) {}
    }

    /// Two tiles of queries, keys and values each, at a multiple of 1024, and their barriers.
    static let turnsBytes = 1024 + 6 * 128 * 256 + 128
}

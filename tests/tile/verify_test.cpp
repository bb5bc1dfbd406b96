// The verifier of kernels finds faults that are planted behind the back of the builder.
#include "cairn/tile/verify.h"

#include <gtest/gtest.h>

#include <functional>
#include <random>

#include "cairn/tile/print.h"
#include "tests/tile/texts.h"

namespace cairn::tile {
namespace {

// Values by number: %n is 0, the grid has 1 and 2, the body 3 to 11.
Kernel sums() {
  return parse_kernel(R"(kernel @sums(%x: input f32, %y: output f32, %n: i64) {
  grid {
    %0 = constant() {value=8} : i64[]
    %1 = divide(%n, %0) : i64[]
    yield %1
  }
  %2 = constant() {value=0} : i64[]
  %3 = constant() {value=0.5} : f32[4]
  %4 = loop(%2, %n, %2, %3) (%5: i64[], %6: f32[4]) {
    %7 = arange() : i64[4]
    %8 = load(%x, %7) : f32[4]
    %9 = add(%6, %8) : f32[4]
    yield %9
  } : f32[4]
  %10 = reduce(%4) {kind=sum, axis=0} : f32[]
  store(%y, %2, %10)
}
)");
}

std::string complaint(const Kernel& kernel) {
  try {
    verify(kernel);
    return "no error";
  } catch (const InternalError& error) {
    return error.what();
  }
}

TEST(TileVerify, AcceptsWhatIsRight) {
  EXPECT_EQ(complaint(sums()), "no error");
  EXPECT_EQ(complaint(test::scale()), "no error");
  EXPECT_EQ(complaint(Kernel{}), "no error");
}

TEST(TileVerify, ShowsTheBrokenInstructionInItsKernel) {
  Kernel kernel = sums();
  kernel.body.code[2].regions[0].code[1].operands[0] = kernel.body.code[3].results[0];
  EXPECT_EQ(complaint(kernel),
            R"([verify] kernel @sums, '%8 = load': operand 0, %10, is used before it is defined
kernel @sums(%x: input f32, %y: output f32, %n: i64) {
  grid {
    %0 = constant() {value=8} : i64[]
    %1 = divide(%n, %0) : i64[]
    yield %1
  }
  %2 = constant() {value=0} : i64[]
  %3 = constant() {value=0.5} : f32[4]
  %4 = loop(%2, %n, %2, %3) (%5: i64[], %6: f32[4]) {
    %7 = arange() : i64[4]
    %8 = load(%x, %10) : f32[4]  // broken: operand 0, %10, is used before it is defined
    %9 = add(%6, %8) : f32[4]
    yield %9
  } : f32[4]
  %10 = reduce(%4) {kind=sum, axis=0} : f32[]
  store(%y, %2, %10)
}
)");
}

// What the cases below break.
struct Sums {
  Kernel kernel = sums();
  std::vector<Parameter>& parameters = kernel.parameters;
  Block& grid = kernel.grid;
  std::vector<Instruction>& code = kernel.body.code;
  Instruction& zero = code[0];
  Instruction& half = code[1];
  Instruction& loop = code[2];
  Block& body = loop.regions[0];
  Instruction& arange = body.code[0];
  Instruction& load = body.code[1];
  Instruction& add = body.code[2];
  Instruction& reduce = code[3];
  Instruction& store = code[4];
  TileType& type(const Instruction& in) {
    return kernel.types[static_cast<size_t>(in.results.at(0))];
  }
};

TEST(TileVerify, NamesTheRuleThatIsBroken) {
  const struct {
    std::string_view wanted;
    std::function<void(Sums&)> damage;
  } cases[] = {
      // Values.
      {"'%2 = constant': %2 is defined twice", [](Sums& s) { s.half.results = s.zero.results; }},
      {"'%4 = loop': %2 is defined twice",
       [](Sums& s) { s.body.arguments[0] = s.zero.results[0]; }},
      {"%n is defined twice", [](Sums& s) { s.zero.results[0] = s.parameters[2].value; }},
      {"%4 = loop': operand 0, %4, is used before",
       [](Sums& s) { s.loop.operands[0] = s.loop.results[0]; }},
      {"'%9 = add': operand 1, %4, is used before",
       [](Sums& s) { s.add.operands[1] = s.loop.results[0]; }},
      {"'%10 = reduce': operand 0, %9, is used outside",
       [](Sums& s) { s.reduce.operands[0] = s.add.results[0]; }},
      {"'%10 = reduce': operand 0, %6, is used outside",
       [](Sums& s) { s.reduce.operands[0] = s.body.arguments[1]; }},
      {"'%4 = loop': operand 0, %1, is used outside",
       [](Sums& s) { s.loop.operands[0] = s.grid.yields[0]; }},
      {"'%1 = divide': operand 0, %2, is used before",
       [](Sums& s) { s.grid.code[1].operands[0] = s.zero.results[0]; }},
      {"'%4 = loop': yield 0, %10, is used before",
       [](Sums& s) { s.body.yields[0] = s.reduce.results[0]; }},
      {"@sums: yield 0, %2, is used before", [](Sums& s) { s.grid.yields[0] = s.zero.results[0]; }},
      {"operand 0, %?, is used before",
       [](Sums& s) { s.reduce.operands[0] = s.kernel.new_value({DType::f32, {}}); }},
      {"'%10 = reduce': value number 99 is not one of the kernel's 12",
       [](Sums& s) { s.reduce.operands[0] = 99; }},
      {"'%? = reduce': value number -1 is not one", [](Sums& s) { s.reduce.results[0] = -1; }},
      {"'%4 = loop': value number 12 is not one", [](Sums& s) { s.body.arguments[0] = 12; }},
      {"'%4 = loop': value number -7 is not one", [](Sums& s) { s.body.yields[0] = -7; }},
      // Types.
      {"'%10 = reduce': result 0 is f64[], but f32[] follows",
       [](Sums& s) { s.type(s.reduce).dtype = DType::f64; }},
      {"'%10 = reduce': [tile reduce] axis 1 is not one", [](Sums& s) { s.reduce.axis = 1; }},
      {"'%8 = load': [tile load] names no buffer", [](Sums& s) { s.load.parameter = 2; }},
      {"'%8 = load': [tile load] names no buffer", [](Sums& s) { s.load.parameter = -3; }},
      {"'store': [tile store] buffer 'x' is not an output", [](Sums& s) { s.store.parameter = 0; }},
      {"'%9 = add': [tile add] takes 2 operands, got 1",
       [](Sums& s) { s.add.operands.pop_back(); }},
      {"'%8 = load': [tile load] takes offsets", [](Sums& s) { s.load.operands.clear(); }},
      {"'reduce': 1 results follow, the instruction has 0",
       [](Sums& s) {
         s.reduce.results.clear();
         s.store.operands[1] = s.half.results[0];
       }},
      {"has the impossible type f32[-4]", [](Sums& s) { s.type(s.half).shape[0] = -4; }},
      {"has the impossible type f32[0]", [](Sums& s) { s.type(s.half).shape[0] = 0; }},
      {"has the impossible type f32[4611686018427387904,4]",
       [](Sums& s) { s.type(s.half).shape = {int64_t{1} << 62, 4}; }},
      {"'%3 = constant': [tile constant] a tile has 1 to 1048576 elements",
       [](Sums& s) { s.type(s.half).shape[0] = 1 << 21; }},
      {"value number 4 has no element type",
       [](Sums& s) { s.kernel.types[4].dtype = static_cast<DType>(13); }},
      // Instructions.
      {"'%9 = ?': there is no such instruction",
       [](Sums& s) { s.add.op = static_cast<TileOp>(kTileOpCount); }},
      {"'%9 = ?': there is no such primitive",
       [](Sums& s) { s.add.scalar = static_cast<Op>(kOpCount); }},
      {"'%10 = reduce': there is no such kind",
       [](Sums& s) { s.reduce.kind = static_cast<Combine>(4); }},
      {"'%9 = matmul': [tile matmul] is not an elementwise",
       [](Sums& s) { s.add.scalar = Op::matmul; }},
      {"'%4 = loop': stages=0", [](Sums& s) { s.loop.stages = 0; }},
      {"'%4 = loop': [tile loop] has one region", [](Sums& s) { s.loop.regions.clear(); }},
      {"'%4 = loop': [tile loop] has one region", [](Sums& s) { s.loop.regions.emplace_back(); }},
      {"'%4 = loop': [tile loop] takes begin, end", [](Sums& s) { s.loop.operands.resize(2); }},
      {"'%4 = loop': [tile loop] the body takes", [](Sums& s) { s.body.yields.clear(); }},
      {"'%4 = loop': [tile loop] the body takes",
       [](Sums& s) { s.body.arguments.push_back(s.kernel.new_value({DType::f32, {}})); }},
      {"'%4 = loop': [tile loop] carried value 0 is f32[4], the body takes f32[4] and yields "
       "i64[4]",
       [](Sums& s) { s.body.yields[0] = s.arange.results[0]; }},
      {"'%9 = add': only a loop has a region", [](Sums& s) { s.add.regions.emplace_back(); }},
      {"'store': the text has more than 1024", [](Sums& s) { s.store.text.resize(1025); }},
      {"loops nest at most 64 deep",
       [](Sums& s) {
         for (int i = 0; i < 64; ++i) {
           Instruction outer;
           outer.op = TileOp::loop;
           outer.operands.assign(3, s.parameters[2].value);
           outer.regions.emplace_back().arguments = {s.kernel.new_value({DType::i64, {}})};
           outer.regions[0].code = std::move(s.kernel.body.code);
           s.kernel.body.code.clear();
           s.kernel.body.code.push_back(std::move(outer));
         }
       }},
      // Blocks of the kernel.
      {"the grid yields 0 sizes", [](Sums& s) { s.grid.yields.clear(); }},
      {"the grid yields 4 sizes", [](Sums& s) { s.grid.yields.assign(4, s.grid.yields[0]); }},
      {"size 1 of the grid is f32[]",
       [](Sums& s) {
         Instruction number;
         number.op = TileOp::constant;
         number.results = {s.kernel.new_value({DType::f32, {}})};
         s.grid.yields.push_back(number.results[0]);
         s.grid.code.push_back(std::move(number));
       }},
      {"'%2 = arange': the grid is scalar arithmetic; 'arange' is none",
       [](Sums& s) {
         s.grid.code.push_back(s.arange);
         s.grid.code.back().results = {s.kernel.new_value({DType::i64, {4}})};
       }},
      {"'%2 = program_id': the grid is scalar",
       [](Sums& s) {
         s.grid.code.emplace_back().op = TileOp::program_id;
         s.grid.code.back().results = {s.kernel.new_value({DType::i64, {}})};
       }},
      {"'%0 = constant': the grid is scalar arithmetic; this is i64[2]",
       [](Sums& s) {
         s.type(s.grid.code[0]).shape = {2};
         s.grid.code.pop_back();
         s.grid.yields = {s.parameters[2].value};
       }},
      {"the grid has arguments", [](Sums& s) { s.grid.arguments = {1}; }},
      {"the body has arguments", [](Sums& s) { s.kernel.body.arguments = {1}; }},
      {"the body yields something", [](Sums& s) { s.kernel.body.yields = {0}; }},
      // Parameters.
      {"two parameters are named 'x'", [](Sums& s) { s.parameters[2].name = "x"; }},
      {"a parameter has no name", [](Sums& s) { s.parameters[0].name.clear(); }},
      {"the name of a parameter has more than", [](Sums& s) { s.parameters[0].name.resize(1025); }},
      {"the name has more than 1024", [](Sums& s) { s.kernel.name.resize(1025, 'n'); }},
      {"the alignment of 'x' is 0 bytes", [](Sums& s) { s.parameters[0].divisor = 0; }},
      {"the alignment of 'x' is 24 bytes", [](Sums& s) { s.parameters[0].divisor = 24; }},
      {"the divisor of 'n' is -1", [](Sums& s) { s.parameters[2].divisor = -1; }},
      {"'n' is f32; only an integer has a divisor",
       [](Sums& s) {
         s.parameters[2].dtype = DType::f32;
         s.parameters[2].divisor = 2;
       }},
      {"parameter 'n' is a scalar of i32, its value is i64[]",
       [](Sums& s) { s.parameters[2].dtype = DType::i32; }},
      {"value number -1 is not one", [](Sums& s) { s.parameters[2].value = -1; }},
      {"buffer 'x' has a value", [](Sums& s) { s.parameters[0].value = 0; }},
      {"parameter 'x' has no element type",
       [](Sums& s) { s.parameters[0].dtype = static_cast<DType>(200); }},
      {"parameter 'x' is of no kind",
       [](Sums& s) { s.parameters[0].kind = static_cast<Parameter::Kind>(4); }},
  };
  for (const auto& c : cases) {
    Sums s;
    c.damage(s);
    const std::string text = complaint(s.kernel);
    // In the first line: the text below it repeats the fault.
    EXPECT_NE(text.substr(0, text.find('\n')).find(c.wanted), std::string::npos)
        << "wanted: " << c.wanted << "\ngot: " << text;
    EXPECT_EQ(text.find("[verify] kernel @"), 0u) << text;
  }
}

// Damage that nobody thought of: fields of any instruction get values of any kind. Whatever comes
// of it is refused, or prints and is read back.
class Vandal {
 public:
  explicit Vandal(unsigned seed) : random_(seed) {}
  void damage(Kernel& kernel) {
    switch (below(8)) {
      case 0: kernel.types[below(kernel.types.size())] = {dtype(), {size(), size()}}; break;
      case 1: {
        Parameter& p = kernel.parameters[below(kernel.parameters.size())];
        p = {static_cast<Parameter::Kind>(below(5)), below(2) ? p.name : "n", dtype(), size(),
             id()};
        break;
      }
      case 2: damage(kernel.grid); break;
      default: damage(kernel.body);
    }
  }

 private:
  size_t below(size_t n) { return random_() % n; }
  DType dtype() { return static_cast<DType>(below(15)); }
  ValueId id() { return static_cast<ValueId>(below(16)) - 2; }
  int64_t size() {
    const int64_t sizes[] = {1, 2, 4, 4, 0, -1, 1 << 20, int64_t{1} << 62};
    return sizes[below(std::size(sizes))];
  }
  void damage(std::vector<ValueId>& ids) {
    if (ids.empty() || below(4) == 0)
      ids.push_back(id());
    else if (below(4) == 0)
      ids.pop_back();
    else
      ids[below(ids.size())] = id();
  }
  void damage(Block& block) {
    if (block.code.empty() || below(6) == 0)
      return damage(below(2) ? block.arguments : block.yields);
    Instruction& in = block.code[below(block.code.size())];
    if (!in.regions.empty() && below(2)) return damage(in.regions[below(in.regions.size())]);
    switch (below(10)) {
      case 0: in.op = static_cast<TileOp>(below(kTileOpCount + 1)); break;
      case 1: in.scalar = static_cast<Op>(below(kOpCount + 1)); break;
      case 2: in.parameter = id(); break;
      case 3: in.axis = id(); break;
      case 4: in.kind = static_cast<Combine>(below(5)); break;
      case 5: in.axes.push_back(size()); break;
      case 6: in.regions.emplace_back(); break;
      case 7: std::swap(in, block.code[below(block.code.size())]); break;
      case 8: damage(in.results); break;
      default: damage(in.operands);
    }
  }
  std::mt19937 random_;
};

TEST(TileVerify, NothingThatIsWrongCrashesOrComesThrough) {
  int accepted = 0;
  int refused = 0;
  for (unsigned seed = 0; seed < 4000; ++seed) {
    Kernel kernel = sums();
    Vandal vandal(seed);
    for (unsigned i = 0; i <= seed % 3; ++i) vandal.damage(kernel);
    const std::string text = to_text(kernel);
    if (complaint(kernel) != "no error") {
      ++refused;
      continue;
    }
    ++accepted;
    ASSERT_EQ(test::error_of(text), "no error") << text;
    EXPECT_EQ(to_text(parse_kernel(text)), text);
  }
  EXPECT_GT(accepted, 100);
  EXPECT_GT(refused, 1000);
}

}  // namespace
}  // namespace cairn::tile
